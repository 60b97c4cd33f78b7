/** The Elastic IPs of an installation, and this host as EC2 sees it. */

export interface ElasticAddress {
  /** Allocation id. */
  readonly id: string;
  /** EHLO name that the installation has given it. */
  readonly name: string;
  readonly publicIp: string;
  /** What it stands before now; null: nothing. */
  readonly at: { readonly networkInterface: string; readonly privateAddress: string } | null;
}

export interface ThisHost {
  /** Id of the instance. */
  readonly instance: string;
  readonly networkInterface: string;
  /** That an Elastic IP can stand before: all but the first, which the host itself goes by. */
  readonly privateAddresses: readonly string[];
}

export interface ElasticAddresses {
  /** Of this installation. */
  list(): Promise<ElasticAddress[]>;
  host(): Promise<ThisHost>;
  /**
   * Put an Elastic IP before a private address of this host, wherever it has been; connections over it break there. What stood
   * before that private address stands before nothing then.
   */
  associate(id: string, privateAddress: string): Promise<void>;
  /** Reverse DNS. Rejects while forward DNS does not lead from the name to the address, which EC2 asks for. */
  setReverseName(id: string, name: string): Promise<void>;
  /** True: this host is to end, and waits for `ended` before it does. */
  isEnding(): Promise<boolean>;
  /** It has nothing left to do. */
  ended(): Promise<void>;
}

/** The egress addresses a zone may use, and the choice among them. */

/** A local IP and the EHLO name it goes by. */
export interface EgressAddress {
  /** IP to bind; `0.0.0.0` or `::` lets the system choose. */
  readonly address: string;
  /** EHLO name; its forward and reverse DNS should agree. */
  readonly name: string;
  /** Share of the pool's mail; 0: never used. Shares of a pool sum to 1. */
  readonly share: number;
}

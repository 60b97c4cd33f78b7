/** Response codes of the DNS (RFC 1035 §4.1.1, RFC 6891 §9) that this resolver tells apart. */

export const RCODE = {
  noError: 0,
  formErr: 1,
  servFail: 2,
  nxDomain: 3,
  notImp: 4,
  refused: 5,
  badVers: 16,
} as const;

const NAMES = new Map<number, string>(
  Object.entries(RCODE).map(([name, code]) => [code, name.toUpperCase()]),
);

/** As `dig` prints it, such as SERVFAIL. */
export function rcodeName(rcode: number): string {
  return NAMES.get(rcode) ?? `RCODE ${rcode}`;
}

/** True: the code says something of the name. Any other is about the server, and another server may know better. */
export function isAboutName(rcode: number): boolean {
  return rcode === RCODE.noError || rcode === RCODE.nxDomain;
}

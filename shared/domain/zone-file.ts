/** DNS records as lines of a zone file (RFC 1035 §5.1), with every name whole, so that they can be pasted below any $ORIGIN. */

export type DnsRecord =
  | { name: string; type: "A" | "AAAA" | "CNAME" | "PTR"; value: string }
  | { name: string; type: "MX"; preference: number; value: string }
  | { name: string; type: "TXT"; value: string };

export const TTL_SECONDS = 3_600;
/** Of one string; a longer text is several (RFC 1035 §3.3). Readers join them with nothing in between. */
const MAX_STRING_BYTES = 255;

export function zoneLine(record: DnsRecord): string {
  return [`${record.name}.`, TTL_SECONDS, "IN", record.type, dataOf(record)].join("\t");
}

/** The strings of a TXT record. */
export function txtStrings(text: string): string[] {
  const bytes = Buffer.from(text);
  const count = Math.max(1, Math.ceil(bytes.length / MAX_STRING_BYTES));
  return Array.from({ length: count }, (_, i) =>
    bytes.subarray(i * MAX_STRING_BYTES, (i + 1) * MAX_STRING_BYTES).toString("latin1"),
  );
}

function dataOf(record: DnsRecord): string {
  switch (record.type) {
    case "A":
    case "AAAA":
      return record.value;
    case "CNAME":
    case "PTR":
      return `${record.value}.`;
    case "MX":
      return `${record.preference} ${record.value}.`;
    case "TXT":
      return txtStrings(record.value).map(quoted).join(" ");
  }
}

/** Bytes that are no plain ASCII as `\DDD`. */
function quoted(text: string): string {
  const escaped = text.replaceAll(/[^ -~]|["\\]/g, (char) =>
    /["\\]/.test(char) ? `\\${char}` : `\\${String(char.charCodeAt(0)).padStart(3, "0")}`,
  );
  return `"${escaped}"`;
}

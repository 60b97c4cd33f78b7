/**
 * What a domain says of the TLS of its mail hosts (MTA-STS, RFC 8461): its TXT record, its policy, and which hosts the policy names.
 * Where they are asked for and how long they are kept is sender/delivery/mta-sts.ts.
 */

export interface StsPolicy {
  /** `enforce` only hosts that the policy names, over TLS with a valid certificate · `testing` tell when that fails · `none` nothing */
  readonly mode: "enforce" | "testing" | "none";
  /** Lower-case host names; `*.` at the start stands for one label. Empty with `none` only. */
  readonly mx: readonly string[];
  readonly maxAgeSeconds: number;
}

export type ParsedPolicy = { ok: true; policy: StsPolicy } | { ok: false; problem: string };

/** RFC 8461 §3.2: a year. */
const MAX_AGE_SECONDS = 31_557_600;
const RECORD_START = /^v=STSv1[ \t]*(?:;|$)/;
const RECORD_ID = /^[A-Za-z0-9]{1,32}$/;
const MODES: readonly StsPolicy["mode"][] = ["enforce", "testing", "none"];
const MX_PATTERN = /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/;

/** The id in the TXT records of `_mta-sts.<domain>`, which changes with the policy. Null: there is no policy (§3.1). */
export function stsIdOf(records: readonly string[]): string | null {
  const ours = records.filter((record) => RECORD_START.test(record));
  if (ours.length !== 1) return null; // more than one are to be taken for none
  const fields = (ours[0] as string).split(";").map((field) => field.trim());
  const id = fields.find((field) => field.startsWith("id="))?.slice("id=".length);
  return id !== undefined && RECORD_ID.test(id) ? id : null;
}

/** Read the text of a policy (§3.2). Of a key that is there twice the first counts; keys that are not known are passed over. */
export function parseStsPolicy(text: string): ParsedPolicy {
  const fields = fieldsOf(text);
  const first = (key: string): string | null => fields.find((field) => field.key === key)?.value ?? null;
  if (first("version") !== "STSv1") return problem("it is not of version STSv1");
  const mode = MODES.find((known) => known === first("mode"));
  if (mode === undefined) return problem(`it has no mode that is known: ${shown(first("mode"))}`);
  const maxAge = first("max_age");
  if (maxAge === null || !/^\d{1,10}$/.test(maxAge)) return problem(`max_age is no number: ${shown(maxAge)}`);
  const mx = fields.filter(({ key }) => key === "mx").map(({ value }) => value.toLowerCase());
  const wrong = mx.find((pattern) => !MX_PATTERN.test(pattern));
  if (wrong !== undefined) return problem(`mx is no host name: ${shown(wrong)}`);
  if (mx.length === 0 && mode !== "none") return problem("it names no mail host");
  const maxAgeSeconds = Math.min(Number(maxAge), MAX_AGE_SECONDS);
  return { ok: true, policy: { mode, mx: [...new Set(mx)].toSorted(), maxAgeSeconds } };
}

/** True: the policy names this host (§4.1). A wildcard stands for the leftmost label, whole and alone (RFC 6125 §6.4.3). */
export function stsNames({ mx }: StsPolicy, host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, "");
  const parent = name.slice(name.indexOf(".") + 1);
  return mx.some((pattern) =>
    pattern.startsWith("*.") ? name.includes(".") && parent === pattern.slice(2) : pattern === name,
  );
}

interface Field {
  readonly key: string;
  readonly value: string;
}

function fieldsOf(text: string): Field[] {
  return text.split(/\r?\n/).flatMap((line) => {
    const colon = line.indexOf(":");
    return colon === -1 ? [] : [{ key: line.slice(0, colon).trim(), value: line.slice(colon + 1).trim() }];
  });
}

function problem(text: string): ParsedPolicy {
  return { ok: false, problem: text };
}

/** Of what somebody else wrote, for the log. */
function shown(value: string | null): string {
  return JSON.stringify(value?.slice(0, 100) ?? null);
}

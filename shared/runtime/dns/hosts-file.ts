/**
 * Names that a machine knows without the DNS: `localhost`, and those of its hosts file. Only the host names of relays are looked up
 * here, for they are the operator's words; what an MX record names is looked up in the DNS alone.
 */

import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { platform } from "node:os";

const SYSTEM_HOSTS_FILE =
  platform() === "win32" ? String.raw`C:\Windows\System32\drivers\etc\hosts` : "/etc/hosts";

/** A file over this is not a hosts file. */
const MAX_FILE_BYTES = 1_048_576;

/** The addresses of `localhost` and of all names below it, which are never asked for (RFC 6761 §6.3). Null: another name. */
export function loopbackOf(name: string, family: 4 | 6): readonly string[] | null {
  if (name !== "localhost" && !name.endsWith(".localhost")) return null;
  return family === 4 ? ["127.0.0.1"] : ["::1"];
}

/**
 * Addresses of a name by `localhost`'s rule or by the hosts file; empty: neither knows it. The file is read anew each time, so that
 * a change needs no restart: the caller keeps the answer for a while. A file that is missing or cannot be read knows no name.
 */
export async function lookUpHostsFile(name: string, path = SYSTEM_HOSTS_FILE): Promise<readonly string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  const listed = text.length > MAX_FILE_BYTES ? [] : addressesIn(text, name.toLowerCase());
  if (listed.length > 0) return listed;
  return [...(loopbackOf(name, 4) ?? []), ...(loopbackOf(name, 6) ?? [])];
}

/** Lines of an address and its names; `#` begins a comment. */
function addressesIn(text: string, name: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [address = "", ...names] = (line.split("#", 1)[0] ?? "").trim().toLowerCase().split(/\s+/);
    return isIP(address) !== 0 && names.includes(name) ? [address] : [];
  });
}

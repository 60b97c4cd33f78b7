/** Two of our own listeners must not want the same port; what other programs hold shows when they bind. */

import type { Config } from "../domain/config.ts";
import type { Report } from "./config-errors.ts";

interface Listener {
  readonly path: readonly PropertyKey[];
  readonly host: string;
  readonly port: number;
}

const ALL_ADDRESSES = new Set(["0.0.0.0", "::"]);

export function checkListeners(
  config: Pick<Config, "smtpInterfaces" | "api" | "sandbox">,
  report: Report,
): void {
  const earlier: Listener[] = [];
  for (const listener of listenersOf(config)) {
    const other = earlier.find((one) => clash(one, listener));
    if (other)
      report(listener.path, `port ${listener.port} is taken by ${other.path.slice(0, -1).join(".")}`);
    earlier.push(listener);
  }
}

function listenersOf({
  smtpInterfaces,
  api,
  sandbox,
}: Pick<Config, "smtpInterfaces" | "api" | "sandbox">): Listener[] {
  const listeners: Listener[] = smtpInterfaces.map(({ name, host, port }) => ({
    path: ["smtpInterfaces", name, "port"],
    host,
    port,
  }));
  if (api.enabled) listeners.push({ path: ["api", "port"], host: api.host, port: api.port });
  if (sandbox.enabled) listeners.push({ path: ["sandbox", "port"], host: sandbox.host, port: sandbox.port });
  return listeners;
}

/** Port 0 is any free port. An address of all addresses meets each of them, in either family (`::` takes IPv4 too). */
function clash(a: Listener, b: Listener): boolean {
  if (a.port === 0 || a.port !== b.port) return false;
  return hostOf(a) === hostOf(b) || ALL_ADDRESSES.has(a.host) || ALL_ADDRESSES.has(b.host);
}

function hostOf({ host }: Listener): string {
  return host === "localhost" ? "127.0.0.1" : host;
}

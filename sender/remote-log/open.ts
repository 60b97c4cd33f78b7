/** Opens what the section `log` of the configuration names, and loads its code only then. */

import type { Config } from "#shared/domain/config.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { createLog } from "#shared/runtime/log.ts";
import type { Logger } from "#shared/runtime/log.ts";
import type { Settings } from "#shared/runtime/config.ts";
import type { RemoteLog } from "./remote-log.ts";

/** The log of a process: on standard output, and in GELF where that is configured. */
export async function openLog(
  { config, logLevel }: Pick<Settings, "config" | "logLevel">,
  { clock, fields = {} }: { clock: Clock; fields?: Readonly<Record<string, unknown>> },
): Promise<Logger> {
  const { gelf } = config.log;
  if (gelf === null) return createLog({ level: logLevel, fields });
  const [{ gelfStream }, { openDatagrams }] = await Promise.all([
    import("./gelf.ts"),
    import("./datagrams.ts"),
  ]);
  const datagrams = openDatagrams(
    { protocol: gelf.host.includes(":") ? "udp6" : "udp4", host: gelf.host, port: gelf.port },
    { clock, onDropped: (count, error) => tellDropped(log, { what: "gelf", count, error }) },
  );
  const also = { stream: gelfStream(gelf, datagrams), level: gelf.level };
  const log = createLog({ level: logLevel, fields, also });
  return log;
}

/** Null: none is configured. */
export async function openRemoteLog(
  { log: { remote } }: Config,
  { clock, log }: { clock: Clock; log: Logger },
): Promise<(RemoteLog & Disposable) | null> {
  if (remote === null) return null;
  const [{ remoteLog }, { openDatagrams }] = await Promise.all([
    import("./remote-log.ts"),
    import("./datagrams.ts"),
  ]);
  const onDropped = (count: number, error: Error): void =>
    tellDropped(log, { what: "remote log", count, error });
  const datagrams = openDatagrams(remote, { clock, onDropped });
  return { ...remoteLog(datagrams), [Symbol.dispose]: () => datagrams.close() };
}

/** Only the log tells it: no mail depends on it. */
function tellDropped(
  log: Logger,
  { what, count, error }: { what: string; count: number; error: Error },
): void {
  log.warn({ component: what, count, err: error }, "datagrams dropped");
}

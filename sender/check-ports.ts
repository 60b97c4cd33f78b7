/**
 * Are the configured ports free? Workers share them by SO_REUSEPORT, which lets any program of the same user that asks for the
 * same take part of the mail: so before they do, each port is taken once alone. A port 0 becomes the free one that was found,
 * so that all workers have the same. On a reload only what is new is checked: the rest our own workers listen on.
 */

import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";

import type { Config } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { bindSocket } from "./listening-socket.ts";
import type { Endpoint } from "./listening-socket.ts";

/** The configuration with its ports; throws a `DomainError` that names the key of the first that cannot be had. */
export async function checkPorts(config: Config, running: Config | null = null): Promise<Config> {
  const taken: Server[] = []; // kept until all are checked, so that two keys with one port show
  const ours = running === null ? new Map<string, Endpoint>() : endpointsOf(running);
  const free = async (key: string, { host, port: written }: Endpoint): Promise<number> => {
    const before = ours.get(key);
    const port = written === 0 && before?.host === host ? before.port : written;
    if (isAmong(ours, { host, port })) return port;
    if ([...ours.values()].some((one) => one.port === port)) return await shared(key, { host, port });
    const server = await listenAlone(key, { host, port });
    taken.push(server);
    return (server.address() as AddressInfo).port;
  };
  try {
    const smtpInterfaces: Config["smtpInterfaces"][number][] = [];
    for (const of of config.smtpInterfaces) {
      smtpInterfaces.push({ ...of, port: await free(`smtpInterfaces.${of.name}`, of) });
    }
    const { api, sandbox } = config;
    return {
      ...config,
      smtpInterfaces,
      api: api.enabled ? { ...api, port: await free("api", api) } : api,
      sandbox: sandbox.enabled ? { ...sandbox, port: await free("sandbox", sandbox) } : sandbox,
    };
  } finally {
    await Promise.all(taken.map(closed));
  }
}

/** By key. */
function endpointsOf({ smtpInterfaces, api, sandbox }: Config): Map<string, Endpoint> {
  const all = new Map<string, Endpoint>(smtpInterfaces.map((one) => [`smtpInterfaces.${one.name}`, one]));
  if (api.enabled) all.set("api", api);
  if (sandbox.enabled) all.set("sandbox", sandbox);
  return all;
}

function isAmong(endpoints: ReadonlyMap<string, Endpoint>, { host, port }: Endpoint): boolean {
  return [...endpoints.values()].some((one) => one.host === host && one.port === port);
}

/**
 * Another address of a port that our own workers listen on: it cannot be had alone. It is not listened on either, for who connects to
 * one address now must not be taken from them by a socket that is closed again.
 */
async function shared(key: string, endpoint: Endpoint): Promise<number> {
  try {
    const { socket, port } = await bindSocket(endpoint, { reusePort: true });
    socket.close();
    return port;
  } catch (error) {
    throw new DomainError("invalid-config", whyNot(key, endpoint, error), key);
  }
}

async function listenAlone(key: string, { host, port }: Endpoint): Promise<Server> {
  const server = createServer();
  server.listen({ host, port, exclusive: true });
  try {
    await once(server, "listening"); // rejects with `error`
    return server;
  } catch (error) {
    throw new DomainError("invalid-config", whyNot(key, { host, port }, error), key);
  }
}

function whyNot(key: string, { host, port }: Endpoint, error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const at = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  switch (code) {
    case "EADDRINUSE":
      return (
        `port ${port} is taken: something else listens on ${at}. ` +
        `End that (\`ss -ltnp\` shows what it is), or set ${key}.port to a free port`
      );
    case "EACCES":
      return (
        `${at} may not be listened on by this user: ` +
        `set ${key}.port to a port over 1023, give the process CAP_NET_BIND_SERVICE, or start it as root with \`user\` in the configuration`
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${host} is not an address of this machine (${code}): set ${key}.host to one that is, or to 0.0.0.0 for all`;
    default:
      return `cannot listen on ${at} (${message}): change ${key}.host or ${key}.port`;
  }
}

async function closed(server: Server): Promise<void> {
  server.close();
  await once(server, "close");
}

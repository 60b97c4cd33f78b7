/** The SMTP interfaces of a configuration: the checked form of each, and what one key of it says about another. */

import { isLoopbackHost } from "../app/api-access.ts";
import type { Certificate, SmtpInterface } from "../domain/config.ts";
import { parseDomain } from "../domain/address.ts";
import type { Report } from "./config-errors.ts";
import { certificateOf, tlsOf } from "./config-files.ts";
import type { ConfigSettings, SmtpInterfaceSettings } from "./config-schema.ts";

interface InterfaceContext {
  /** Paths in the configuration start here. */
  readonly baseDir: string;
  readonly report: Report;
}

type Path = readonly PropertyKey[];

/** What names the origin of mail that came by no SMTP interface. */
export const OTHER_ORIGINS = ["api", "bounce"];
/** RFC 2033 §5: LMTP is not for the port where the world expects SMTP. */
const SMTP_PORT = 25;

export function interfacesOf(settings: ConfigSettings, context: InterfaceContext): SmtpInterface[] {
  return Object.entries(settings.smtpInterfaces).flatMap(([name, one]) => {
    const path = ["smtpInterfaces", name];
    if (OTHER_ORIGINS.includes(name))
      context.report(path, `is the name of mail that comes another way; choose a different one`);
    return one.enabled ? [interfaceOf(name, one, path, context)] : [];
  });
}

function interfaceOf(
  name: string,
  one: SmtpInterfaceSettings,
  path: Path,
  { baseDir, report }: InterfaceContext,
): SmtpInterface {
  checkInterface(one, path, report);
  return {
    name,
    host: one.host,
    port: one.port,
    maxSize: one.maxSize,
    maxRecipients: one.maxRecipients,
    hostname: one.hostname ?? null,
    authentication: one.authentication ?? false,
    authOptional: one.authOptional,
    allowInsecureAuth: one.allowInsecureAuth,
    proxyFrom: peersOf(one, "useProxy", path, report),
    xclientFrom: peersOf(one, "useXClient", path, report),
    xforwardFrom: peersOf(one, "useXForward", path, report),
    lmtp: one.lmtp,
    starttls: one.starttls,
    secure: one.secure,
    tls: tlsOf(one, baseDir, path, report),
    certificates: certificatesOf(one, path, { baseDir, report }),
    banner: one.banner ?? null,
    maxClients: one.maxClients,
    maxClientsPerAddress: one.maxClientsPerAddress ?? null,
    idleTimeoutMs: one.socketTimeout,
    reverseLookup: !one.disableReverseLookup,
  };
}

const PEERS = {
  useProxy: "of proxy addresses",
  useXClient: "of those whose XCLIENT is believed",
  useXForward: "of those whose XFORWARD is believed",
} as const;

function peersOf(
  one: SmtpInterfaceSettings,
  key: keyof typeof PEERS,
  path: Path,
  report: Report,
): readonly string[] {
  const peers = one[key];
  if (peers === true) {
    const why = "true would believe every peer about where it comes from";
    report([...path, key], `expected the list ${PEERS[key]}, such as ["192.0.2.1"]; ${why}`);
  }
  return typeof peers === "boolean" ? [] : peers;
}

function certificatesOf(
  one: SmtpInterfaceSettings,
  path: Path,
  { baseDir, report }: InterfaceContext,
): Map<string, Certificate> {
  const certificates = new Map<string, Certificate>();
  for (const [key, files] of Object.entries(one.sniOptions)) {
    const here = [...path, "sniOptions", key];
    const name = serverName(key);
    if (name === null) report(here, "expected a server name, or *. and a domain, as the key");
    else if (certificates.has(name)) report(here, `${name} is here twice`);
    const certificate = certificateOf(files, baseDir, here, report);
    if (name !== null && certificate !== null) certificates.set(name, certificate);
  }
  if (certificates.size > 0 && !one.secure && !one.starttls)
    report([...path, "sniOptions"], "is of no use without TLS; set starttls or secure");
  return certificates;
}

/** Null: neither a domain name nor one with a star in place of its first label. */
function serverName(text: string): string | null {
  const star = text.startsWith("*.");
  const domain = text.startsWith("[") ? null : parseDomain(star ? text.slice(2) : text);
  return domain === null ? null : `${star ? "*." : ""}${domain}`;
}

function checkInterface(one: SmtpInterfaceSettings, path: readonly PropertyKey[], report: Report): void {
  if (one.lmtp && one.port === SMTP_PORT)
    report([...path, "port"], "is the port of SMTP; choose another one for LMTP");
  if (one.secure && one.starttls) {
    report(
      [...path, "starttls"],
      "is of no use with secure, which is TLS from the first byte; leave out one of them",
    );
  }
  if (one.authentication === undefined && !isLoopbackHost(one.host)) {
    const why = `is not set, and others than this machine can reach ${one.host}`;
    const ways = "true (accounts: npx zonefleet account add), or false to take mail from whoever can connect";
    report([...path, "authentication"], `${why}; set ${ways}`);
  }
  if (one.authOptional && one.authentication !== true)
    report([...path, "authOptional"], "is of no use without authentication: true, which offers AUTH");
  if (one.authentication === true && !one.secure && !one.starttls && !one.allowInsecureAuth) {
    const ways = "starttls or secure (with key and cert), or allowInsecureAuth";
    report([...path, "authentication"], `nobody could log in: AUTH is not offered in clear; set ${ways}`);
  }
}

/** The kinds of value in a configuration file: each is checked and brought to its one spelling. */

import { isIP } from "node:net";

import * as z from "zod";

import { parseAddress, parseDomain } from "../domain/address.ts";
import { parseSelector } from "../domain/dkim.ts";
import { parseIp } from "../domain/ip.ts";
import { parseThrottle } from "../domain/throttle.ts";
import { GIB } from "../domain/units.ts";

/** Longest wait that a timer can hold (2^31 - 1 ms, 24.8 days): no duration that becomes one timer may be longer. */
const MAX_TIMER_MS = 2_147_483_647;
const MAX_DURATION_MS = 10 * 365 * 24 * 3_600_000;

export const HEADER_NAME = /^[!-9;-~]{1,76}$/; // RFC 5322 §2.2: printable ASCII without the colon
const ENTRY_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,47}$/;

/** In the place of an IP address: an Elastic IP of the deployment, which has its name in the configuration and its address from AWS. */
export const ELASTIC = "elastic";

/** A string that `parse` reads; null: it is not what was `expected`. */
function text(expected: string, parse: (text: string) => string | null) {
  return z.string().transform((input, context) => {
    const parsed = parse(input.trim());
    if (parsed !== null) return parsed;
    context.issues.push({ code: "custom", message: `expected ${expected}`, input });
    return z.NEVER;
  });
}

export const ip = text("an IP address", parseIp);
export const ipOrElastic = text(`an IP address or ${ELASTIC}`, (input) =>
  input === ELASTIC ? ELASTIC : parseIp(input),
);
export const ipOrCidr = text("an IP address or a block such as 192.0.2.0/24", parseCidr);
export const httpUrl = text("an http or https URL", parseHttpUrl);
export const ipWithPort = text(
  "an IP address, with or without a port (192.0.2.1:53, [2001:db8::1]:53)",
  parseNameserver,
);
export const domain = text("a domain name", (input) => (input.startsWith("[") ? null : parseDomain(input)));
export const selector = text("a DKIM selector, such as s1 or 20261121", parseSelector);
export const host = text("a host name or an IP address", (input) => parseIp(input) ?? hostName(input));
export const headerName = text("a header name", (input) =>
  HEADER_NAME.test(input) ? input.toLowerCase() : null,
);
export const entryName = text(
  "a name of letters, digits, dot, hyphen and underscore (at most 48)",
  (input) => (ENTRY_NAME.test(input) ? input : null),
);
/** An address in which `[HOSTNAME]` stands for our host name, as in ZoneMTA. */
export const mailbox = text("a mail address", (input) =>
  parseAddress(input.replaceAll("[HOSTNAME]", "host.invalid")) === null ? null : input,
);
/** What goes on one line of the protocol or of a header. */
export const line = text("printable ASCII on one line, at most 200 characters", (input) =>
  /^[\x20-\x7e]{1,200}$/.test(input) ? input : null,
);

/** As it was written: what it says is read where it is checked. */
export const throttling = text("a rate such as 100/minute, 20/second or 1000 messages/hour", (input) =>
  parseThrottle(input) === null ? null : input,
);

/** A user or a group of the system, by name or by number. */
export const account = z.union([z.string().min(1).max(64), z.int().min(0).max(0xff_ff_ff_fe)]);

/** 0 lets the system choose a free port, for tests. */
export const listenPort = z.int().min(0).max(65_535);
export const port = z.int().min(1).max(65_535);
export const count = z.int().min(1).max(1_000_000);
export const bytes = z
  .int()
  .min(1)
  .max(1_024 * GIB);
/** Milliseconds. */
export const duration = z.int().min(1).max(MAX_DURATION_MS);
/** Milliseconds of one timer. */
export const timeout = z.int().min(1).max(MAX_TIMER_MS);
/** Milliseconds of one timer; 0: there is none. */
export const timeoutOrNone = z.int().min(0).max(MAX_TIMER_MS);

function hostName(input: string): string | null {
  return input.startsWith("[") ? null : parseDomain(input);
}

function parseCidr(input: string): string | null {
  const [address = "", prefix, ...rest] = input.split("/");
  const base = parseIp(address);
  if (base === null || rest.length > 0) return null;
  if (prefix === undefined) return base;
  // 4 or 6 of the address as written: /96 of ::ffff:0:0 must not be read as IPv4
  const bits = isIP(address) === 4 ? 32 : 128;
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) return null;
  return `${bits === 32 || base.includes(":") ? base : `::ffff:${base}`}/${Number(prefix)}`;
}

function parseHttpUrl(input: string): string | null {
  if (!URL.canParse(input) || input.length > 2_000) return null;
  const { protocol, href } = new URL(input);
  return protocol === "http:" || protocol === "https:" ? href : null;
}

function parseNameserver(input: string): string | null {
  const whole = parseIp(input);
  if (whole !== null) return whole;
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(input);
  const address = match && parseIp(match[1] ?? match[2] ?? "");
  const portNumber = Number(match?.[3]);
  if (!address || portNumber < 1 || portNumber > 65_535) return null;
  return address.includes(":") ? `[${address}]:${portNumber}` : `${address}:${portNumber}`;
}

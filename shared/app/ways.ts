/**
 * Ways of recipients (domain/way.ts): read from ZoneMTA's words, sealed for the store with their message, and opened again for
 * delivery. A secret is sealed under the id of its message, so that it opens for no other.
 */

import { isIP } from "node:net";

import * as z from "zod";

import { parseDomain } from "../domain/address.ts";
import type { MessageId } from "../domain/ids.ts";
import { parseIp } from "../domain/ip.ts";
import type { Message } from "../domain/message.ts";
import type { StoredWay, Way, WayId } from "../domain/way.ts";
import { MAX_WAY_BYTES, MAX_WAY_HOSTS, MAX_WAYS, PLAIN_WAY, shownUrl, wayId } from "../domain/way.ts";
import type { Sealing } from "../ports/sealing.ts";

const MAX_PORT = 65_535;

const Host = z.union([z.string(), z.looseObject({ exchange: z.string(), priority: z.number().optional() })]);

/** The keys of ZoneMTA's `routing.mxData`, and those by which its `sender:fetch` chooses LMTP and HTTP. Others are left alone. */
const WayShape = z.looseObject({
  mx: z.union([Host, z.array(Host).max(MAX_WAY_HOSTS)]).nullish(),
  mxPort: z.coerce.number().int().min(1).max(MAX_PORT).nullish(),
  mxAuth: z.looseObject({ user: line(256), pass: line(512) }).nullish(),
  mxSecure: z.boolean().nullish(),
  mxCredentials: z.enum(["verified", "encrypted", "anywhere"]).nullish(),
  skipSRS: z.boolean().nullish(),
  skipSTS: z.boolean().nullish(),
  useLMTP: z.boolean().nullish(),
  http: z.boolean().nullish(),
  targetUrl: z.url({ protocol: /^https?$/ }).nullish(),
});

/** Null: nothing that differs from the way of the zone. Throws with what is wrong, and without what may be a secret. */
export function readWay(fields: unknown): Way | null {
  const read = WayShape.safeParse(fields);
  if (!read.success) throw new Error(`the way of the mail is not to be read: ${whatIsWrong(read.error)}`);
  const { mx, mxPort, mxAuth, mxSecure, mxCredentials, skipSRS, skipSTS, useLMTP, http, targetUrl } =
    read.data;
  if (http === true && (targetUrl ?? null) === null)
    throw new Error("http needs a targetUrl to post the mail to");
  const way: Way = {
    hosts: hostsOf(mx ?? null),
    port: mxPort ?? null,
    auth: mxAuth ? { user: mxAuth.user, pass: mxAuth.pass } : null,
    authMethod: null,
    credentials: mxCredentials ?? "verified",
    secure: mxSecure ?? false,
    lmtp: useLMTP ?? false,
    http: http === true ? (targetUrl ?? null) : null,
    skipSrs: skipSRS ?? false,
    skipSts: skipSTS ?? false,
  };
  for (const [key, given] of Object.entries({
    mxAuth: way.auth,
    mxPort: way.port,
    mxSecure: way.secure || null,
  }))
    if (given !== null && way.hosts === null)
      throw new Error(`${key} needs mx: it is for a relay that is named`);
  if (Buffer.byteLength(JSON.stringify(way)) > MAX_WAY_BYTES)
    throw new Error(`the way of the mail is longer than ${MAX_WAY_BYTES} bytes`);
  return isPlain(way) ? null : way;
}

/** The ways of a message as it keeps them, and the name of that of each recipient. */
export interface SealedWays {
  /** Null: none. */
  readonly ways: readonly StoredWay[] | null;
  readonly idOf: (way: Way | null) => WayId | null;
}

/** Rejects when there is something to seal and no key to do so. */
export async function sealWays(
  wanted: readonly (Way | null)[],
  messageId: MessageId,
  sealing: Sealing,
): Promise<SealedWays> {
  const stored = new Map<string, StoredWay>();
  const taken = new Set<string>();
  for (const way of wanted) {
    if (way === null || stored.has(keyOf(way))) continue;
    if (stored.size === MAX_WAYS) throw new Error(`one message goes by at most ${MAX_WAYS} ways`);
    const sealed = await sealedOf(way, messageId, sealing);
    const { auth, ...open } = way;
    const shown = { ...open, user: auth?.user ?? null, http: way.http === null ? null : shownUrl(way.http) };
    const id = wayId(shown, taken);
    taken.add(id);
    stored.set(keyOf(way), { ...shown, id, sealed });
  }
  return {
    ways: stored.size === 0 ? null : [...stored.values()],
    idOf: (way) => (way === null ? null : (stored.get(keyOf(way))?.id ?? null)),
  };
}

/** For people: `relay.example:587 as anna, LMTP`. */
export function describeWay({ hosts, port, user, secure, lmtp, http, skipSrs, skipSts }: StoredWay): string {
  const to = hosts?.map((host) => (port === null ? host : `${host}:${port}`)).join(" or ") ?? null;
  const hop = http === null ? to : `HTTP POST to ${http}`;
  const login = user === null ? "" : ` as ${user}`;
  const terms = { "TLS from the first byte": secure, LMTP: lmtp, "no SRS": skipSrs, "no MTA-STS": skipSts };
  const said = Object.entries(terms).flatMap(([term, holds]) => (holds ? [term] : []));
  return [`${hop ?? "as its zone"}${login}`, ...said].join(", ");
}

/** Rejects when the message has no such way, or its secret does not open. */
export async function openWay(message: Message, id: WayId, sealing: Sealing): Promise<Way> {
  const stored = message.ways?.find((way) => way.id === id);
  if (!stored) throw new Error(`message ${message.id} has no way ${id}`);
  const { user, sealed, id: _, ...way } = stored;
  const secret =
    sealed === null ? null : SecretShape.parse(JSON.parse(await sealing.open(sealed, placeOf(message.id))));
  return {
    ...way,
    auth: user === null ? null : { user, pass: secret?.pass ?? "" },
    http: way.http === null ? null : (secret?.url ?? way.http),
  };
}

const SecretShape = z.object({ pass: z.string().optional(), url: z.string().optional() });

async function sealedOf(way: Way, messageId: MessageId, sealing: Sealing): Promise<string | null> {
  const url = way.http !== null && way.http !== shownUrl(way.http) ? way.http : undefined;
  const pass = way.auth?.pass;
  if (url === undefined && pass === undefined) return null;
  return sealing.seal(JSON.stringify({ pass, url }), placeOf(messageId));
}

function placeOf(messageId: MessageId): string {
  return `way/${messageId}`;
}

/** Two ways with one key are one. */
function keyOf(way: Way): string {
  return JSON.stringify(way);
}

function isPlain(way: Way): boolean {
  return keyOf(way) === keyOf({ ...PLAIN_WAY, credentials: way.credentials });
}

type HostInput = z.infer<typeof Host>;

function hostsOf(mx: HostInput | readonly HostInput[] | null): string[] | null {
  if (mx === null) return null;
  const named = [mx]
    .flat<(HostInput | readonly HostInput[])[]>()
    .map((host, i) =>
      typeof host === "string"
        ? { name: host, priority: i }
        : { name: host.exchange, priority: host.priority ?? i },
    );
  const hosts = named.toSorted((a, b) => a.priority - b.priority).map(({ name }) => hostOf(name));
  return hosts.length === 0 ? null : hosts;
}

function hostOf(text: string): string {
  const bare = text.trim().replace(/^\[(?:ipv6:)?(.*)\]$/i, "$1");
  const host = isIP(bare) === 0 ? parseDomain(bare) : parseIp(bare);
  if (host === null || host.startsWith("["))
    throw new Error(`mx: ${JSON.stringify(text.slice(0, 80))} is no host`);
  return host;
}

function line(maxChars: number) {
  return z
    .string()
    .max(maxChars)
    .regex(/^[^\0\r\n]*$/, "expected one line");
}

/** The values stay out of it: one of them may be a password. */
function whatIsWrong(error: z.ZodError): string {
  const [issue] = error.issues;
  return issue ? `${issue.path.join(".") || "it"}: ${issue.message}` : "it is not what is expected";
}

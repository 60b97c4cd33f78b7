/**
 * The port `https-get` over node:https: one request by a connection of its own, with the certificate checked, to addresses that the
 * caller's look-up gives, so that our name servers are asked and addresses of the inside are not reached.
 */

import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { isIPv6 } from "node:net";
import type { LookupFunction } from "node:net";

import type { Clock } from "#shared/domain/clock.ts";
import type { HttpsAnswer, HttpsGet, HttpsPage } from "#shared/ports/https-get.ts";

export interface HttpsGetDeps {
  readonly clock: Clock;
  /** IP addresses to try, at least one. Rejects when there is none. */
  readonly lookUp: (host: string) => Promise<readonly string[]>;
  /** Default: 443. */
  readonly port?: number;
}

const HTTPS_PORT = 443;

export function httpsGet({ clock, lookUp, port = HTTPS_PORT }: HttpsGetDeps): HttpsGet {
  return async (page) => {
    const [over, done] = [new AbortController(), new AbortController()];
    const limit = clock.sleep(page.timeoutMs, done.signal).then(() => {
      over.abort(new Error(`no whole answer in ${page.timeoutMs} ms`));
      return failed(`no whole answer in ${page.timeoutMs} ms`);
    });
    try {
      return await Promise.race([limit, ask(page, { addresses: lookUp, port, signal: over.signal })]);
    } finally {
      done.abort();
    }
  };
}

/** It does not reject. */
async function ask(
  page: HttpsPage,
  how: { addresses: HttpsGetDeps["lookUp"]; port: number; signal: AbortSignal },
): Promise<HttpsAnswer> {
  try {
    const addresses = await how.addresses(page.host);
    const response = await send(page, { ...how, addresses });
    const { statusCode = 0, headers } = response;
    const answer = { status: statusCode, contentType: headers["content-type"] ?? "" };
    return { kind: "answered", ...answer, body: await bodyOf(response, page.maxBytes) };
  } catch (error) {
    return failed(
      error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error),
    );
  }
}

function send(
  { host, path }: HttpsPage,
  { addresses, port, signal }: { addresses: readonly string[]; port: number; signal: AbortSignal },
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request({
      host,
      port,
      path,
      servername: host,
      lookup: lookupIn(addresses),
      headers: { host, "user-agent": "ZoneFleet", accept: "text/plain" },
      agent: false, // a host is asked once a day
      minVersion: "TLSv1.2",
      rejectUnauthorized: true, // whatever the environment says
      signal,
    });
    asked.once("response", resolve).on("error", reject).end();
  });
}

function lookupIn(addresses: readonly string[]): LookupFunction {
  const list = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (host, options, done) => {
    const [first] = list;
    if (first === undefined) done(new Error(`${host} has no address`), "");
    else if (options.all === true) done(null, list);
    else done(null, first.address, first.family);
  };
}

async function bodyOf(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function failed(detail: string): HttpsAnswer {
  return { kind: "failed", detail };
}

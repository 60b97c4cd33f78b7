/** Answers that are held whole go out by gzip to who takes it (RFC 9110 §12.5.3): a page of a list becomes a tenth. Streams go as they are. */

import { promisify } from "node:util";
import { gzip } from "node:zlib";

import type { Request } from "@middy/core";

import { KIB } from "#shared/domain/units.ts";

import type { ApiEvent, ApiResult } from "../http.ts";
import { responseStream } from "../http.ts";

/** A smaller one is in one packet anyway. */
export const MIN_GZIP_BYTES = KIB;

const gzipped = promisify(gzip);

export function gzipAnswers() {
  return {
    after: async (request: Request<ApiEvent, ApiResult>): Promise<void> => {
      const { event, response } = request;
      if (response) request.response = await compressed(response, event.headers["accept-encoding"] ?? "");
    },
  };
}

async function compressed(result: ApiResult, accepted: string): Promise<ApiResult> {
  const { body = "", headers } = result;
  const isWhole = result[responseStream] === undefined && result.isBase64Encoded !== true;
  if (!isWhole) return result;
  const varied = { ...headers, vary: "accept-encoding" };
  if (body.length < MIN_GZIP_BYTES || !takesGzip(accepted)) return { ...result, headers: varied };
  const bytes = await gzipped(body);
  return {
    ...result,
    headers: { ...varied, "content-encoding": "gzip" },
    body: bytes.toString("base64"),
    isBase64Encoded: true,
  };
}

/** What is said of gzip counts before what is said of all; a weight of 0 is a no. */
export function takesGzip(accepted: string): boolean {
  const weights = new Map(
    accepted.split(",").map((part) => {
      const [coding = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
      const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? "1";
      return [coding, Number(weight)] as const;
    }),
  );
  return (weights.get("gzip") ?? weights.get("x-gzip") ?? weights.get("*") ?? 0) > 0;
}

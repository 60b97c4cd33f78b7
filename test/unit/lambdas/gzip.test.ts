import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";

import type { Request } from "@middy/core";

import type { ApiEvent, ApiResult } from "../../../lambdas/http.ts";
import { jsonResult, streamResult } from "../../../lambdas/http.ts";
import { gzipAnswers, MIN_GZIP_BYTES, takesGzip } from "../../../lambdas/middleware/gzip.ts";

async function answered(response: ApiResult, accepted?: string): Promise<ApiResult> {
  const headers = accepted === undefined ? {} : { "accept-encoding": accepted };
  const request = { event: { headers }, response } as Request<ApiEvent, ApiResult>;
  await gzipAnswers().after(request);
  return request.response ?? assert.fail();
}

const large = jsonResult(200, { text: "ü".repeat(MIN_GZIP_BYTES) });

describe("an answer", () => {
  test("goes out by gzip to who takes it, and is the same behind it", async () => {
    const { headers, body = "", isBase64Encoded, statusCode } = await answered(large, "br, gzip;q=0.5");
    assert.deepEqual([statusCode, isBase64Encoded, headers["content-encoding"]], [200, true, "gzip"]);
    assert.equal(headers["vary"], "accept-encoding");
    assert.equal(gunzipSync(Buffer.from(body, "base64")).toString(), large.body);
  });

  test("says that it might have been another when it goes as it is", async () => {
    for (const accepted of [undefined, "br", "gzip;q=0"]) {
      const { body, headers } = await answered(large, accepted);
      assert.equal(body, large.body);
      assert.deepEqual([headers["vary"], headers["content-encoding"]], ["accept-encoding", undefined]);
    }
  });

  test("goes as it is when it is small, or a stream", async () => {
    const small = await answered(jsonResult(200, {}), "gzip");
    assert.deepEqual([small.body, small.headers["content-encoding"]], ["{}", undefined]);
    async function* chunks(): AsyncIterable<Buffer> {
      yield Buffer.alloc(MIN_GZIP_BYTES);
    }
    const stream = streamResult("message/rfc822", MIN_GZIP_BYTES, chunks());
    assert.equal(await answered(stream, "gzip"), stream);
  });
});

describe("Accept-Encoding", () => {
  for (const [accepted, takes] of [
    ["gzip", true],
    ["deflate, GZIP ; q=0.1", true],
    ["x-gzip", true],
    ["*", true],
    ["", false],
    ["identity", false],
    ["gzip;q=0", false],
    ["gzip;q=0, *;q=1", false],
    ["gzip;q=nonsense", false],
    ["*;q=0.0", false],
  ] as const) {
    test(`${JSON.stringify(accepted)} ${takes ? "takes" : "does not take"} gzip`, () => {
      assert.equal(takesGzip(accepted), takes);
    });
  }
});

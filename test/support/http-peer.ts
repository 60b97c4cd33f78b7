/** An HTTP server of the test on a free port, that keeps what it was asked. */

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface PeerAnswer {
  readonly status: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HttpPeer extends AsyncDisposable {
  readonly url: string;
  readonly asked: Asked[];
}

/** `answer` decides by what is asked; `silence` never answers. */
export async function httpPeer(
  answer: (asked: Asked, nth: number) => PeerAnswer | "silence" | Promise<PeerAnswer>,
): Promise<HttpPeer> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url: target = "", headers } = request;
      const one = { method, target, headers, body: Buffer.concat(chunks).toString() };
      asked.push(one);
      void Promise.resolve(answer(one, asked.length)).then((given) => {
        if (given === "silence") return;
        response.writeHead(given.status, given.headers);
        response.end(given.body ?? "");
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

/** A receiver of events under test: a real HTTP server on 127.0.0.1 that keeps what it is sent and answers as it is told. */

import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

import type { EventNotice } from "#shared/domain/notification.ts";
import { patient } from "./patience.ts";

export interface ReceivedPost {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface TestReceiver extends AsyncDisposable {
  readonly url: string;
  readonly posts: ReceivedPost[];
  /** A status, or null: never answer. */
  answer: (post: ReceivedPost) => number | null;
  /** All events of JSON posts that were answered 200. */
  readonly taken: EventNotice[];
  /** Resolves when there are so many posts. Rejects when they do not come in time. */
  waitFor(posts: number): Promise<void>;
}

const PATIENCE_MS = patient(10_000);

export async function startReceiver(): Promise<TestReceiver> {
  const posts: ReceivedPost[] = [];
  const taken: EventNotice[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const post = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        body,
      };
      const status = receiver.answer(post);
      posts.push(post);
      if (status === 200 && body.startsWith("{"))
        taken.push(...(JSON.parse(body) as { events: EventNotice[] }).events);
      if (status !== null) response.writeHead(status, { location: "/elsewhere" }).end("ok");
      for (const look of waiting) look();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const receiver: TestReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`,
    posts,
    taken,
    answer: () => 200,
    async waitFor(count) {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      await new Promise<void>((resolve, reject) => {
        const look = (): void => {
          if (posts.length >= count) resolve();
        };
        waiting.add(look);
        signal.addEventListener("abort", () => reject(new Error(`${posts.length} posts of ${count} came`)));
        look();
      });
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  return receiver;
}

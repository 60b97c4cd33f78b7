/**
 * Delivery by HTTP in place of SMTP: each recipient of a job is one POST (http-form.ts) to the URL of the zone.
 *
 * 2xx is delivered, 4xx bounced, anything else deferred; but 408, 425 and 429 ask for another try. No redirect is followed. A
 * connection that ends after the last byte and before an answer leaves it in doubt, as with SMTP.
 */

import { randomBytes } from "node:crypto";
import { request as httpRequest } from "node:http";
import type { ClientRequest } from "node:http";
import { request as httpsRequest } from "node:https";

import type { Outcome, Route } from "#shared/domain/outcome.ts";
import { bounced, deferred } from "#shared/domain/outcome.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";
import { shownUrl } from "#shared/domain/way.ts";
import type { HttpTarget } from "#shared/domain/zone.ts";

import { mailForm } from "./http-form.ts";
import type { FormSource, MailForm } from "./http-form.ts";
import type { Timeouts, Timers } from "./timeouts.ts";

export interface Posting {
  readonly target: HttpTarget;
  readonly timeouts: Timeouts;
  readonly timers: Timers;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

export interface Posted {
  readonly outcome: Outcome;
  /** True: no connection to the server: others need not try now. */
  readonly down: boolean;
}

/** Statuses of class 4 that speak of time: request timeout, too early (RFC 8470), too many requests (RFC 6585). */
const NOT_NOW = new Set([408, 425, 429]);

/** Rejects when our own content cannot be read. */
export async function postMail(source: Omit<FormSource, "boundary">, posting: Posting): Promise<Posted> {
  const form = mailForm({ ...source, boundary: randomBytes(24).toString("hex") });
  const upload = new Upload(form, posting);
  return verdictOf(await upload.run(), posting);
}

/** `where` is what was waited for when it ended. */
type Answer =
  | { kind: "answered"; status: number; route: Route }
  | { kind: "failed"; where: Waiting; timedOut: boolean; detail: string; route: Route };

type Waiting = "connect" | "block" | "dot";

class Upload {
  readonly #form: MailForm;
  readonly #posting: Posting;
  readonly #request: ClientRequest;
  readonly #answered: Promise<Answer>;
  #where: Waiting = "connect";
  #route: Route;
  #timer: NodeJS.Timeout | null = null;
  #timedOut = false;
  #over = false;
  #onRoom: () => void = () => undefined;

  constructor(form: MailForm, posting: Posting) {
    const url = new URL(posting.target.url);
    this.#form = form;
    this.#posting = posting;
    this.#route = { mx: url.hostname, peer: null, egress: null };
    this.#request = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, {
      method: "POST",
      agent: false,
      signal: posting.signal,
      headers: {
        "user-agent": posting.target.userAgent,
        "content-type": form.contentType,
        "content-length": form.bytes,
      },
    });
    this.#answered = this.#listen(url.protocol === "https:" ? "secureConnect" : "connect");
    this.#wait("connect");
  }

  async run(): Promise<Answer> {
    try {
      return await Promise.race([this.#answered, this.#send().then(() => this.#answered)]);
    } finally {
      this.#over = true;
      this.#onRoom();
      if (this.#timer !== null) this.#posting.timers.clear(this.#timer);
      this.#request.destroy(); // what else the server has to say does not matter
    }
  }

  #listen(connected: "connect" | "secureConnect"): Promise<Answer> {
    const request = this.#request;
    return new Promise((resolve) => {
      const fail = (detail: string): void =>
        resolve({ kind: "failed", where: this.#where, timedOut: this.#timedOut, detail, route: this.#route });
      request.on("socket", (socket) => {
        socket.once(connected, () => {
          const { remoteAddress = null, localAddress = null } = socket;
          this.#route = { ...this.#route, peer: remoteAddress, egress: localAddress };
          if (this.#where === "connect") this.#wait("block");
        });
      });
      request.on("drain", () => this.#onRoom());
      request.once("response", ({ statusCode = 0 }) =>
        resolve({ kind: "answered", status: statusCode, route: this.#route }),
      );
      request.on("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
      request.once("close", () => {
        fail("the connection was closed");
        this.#onRoom();
      });
    });
  }

  async #send(): Promise<void> {
    for await (const chunk of this.#form.body) {
      if (this.#over) return;
      if (!this.#request.write(chunk)) await this.#room();
      if (this.#where === "block") this.#wait("block");
    }
    if (this.#over) return;
    this.#request.end(() => this.#wait("dot")); // all was handed to the system: the server may have it
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#over || this.#request.destroyed) resolve();
      else this.#onRoom = resolve;
    });
  }

  #wait(where: Waiting): void {
    if (this.#over) return;
    const { timers, timeouts } = this.#posting;
    this.#where = where;
    if (this.#timer !== null) timers.clear(this.#timer);
    this.#timer = timers.set(timeouts[where], () => {
      this.#timedOut = true;
      this.#request.destroy(new Error("it was silent for too long"));
    });
  }
}

function verdictOf(answer: Answer, { target, signal }: Posting): Posted {
  const { route } = answer;
  const where = shownUrl(target.url);
  if (answer.kind === "answered")
    return { outcome: outcomeOfStatus(answer.status, where, route), down: false };
  const detail = `${where}: ${answer.detail}`;
  if (signal.aborted && answer.where !== "dot")
    return { outcome: deferred("internal", detail, route), down: false };
  if (answer.where === "connect") return { outcome: deferred("connect", detail, route), down: true };
  const cause = answer.where === "dot" ? "ambiguous" : answer.timedOut ? "timeout" : "protocol";
  return { outcome: deferred(cause, detail, route), down: false };
}

function outcomeOfStatus(status: number, where: string, route: Route): Outcome {
  const detail = `${where} answered ${status}`;
  if (status >= 200 && status < 300) {
    return { kind: "delivered", reply: smtpReply(250, [`2.0.0 ${detail}`]), route };
  }
  if (status >= 400 && status < 500 && !NOT_NOW.has(status)) return bounced("http", "5.0.0", detail, route);
  return deferred("http", detail, route);
}

/** What is kept of a message besides its bytes: once per message, small (a DynamoDB write unit is 1 KiB), never changed. */

import type { Address } from "./address.ts";
import type { MessageId } from "./ids.ts";
import type { EpochMs } from "./units.ts";
import type { StoredWay } from "./way.ts";

export interface Message {
  readonly id: MessageId;
  /** MAIL FROM; null for `<>`: no DSN is ever sent for it. */
  readonly returnPath: Address | null;
  readonly acceptedAt: EpochMs;
  readonly body: BodyInfo;
  readonly origin: Origin;
  /** Value of Message-ID with its angle brackets. */
  readonly messageIdHeader: string;
  /** First address of the From header; null: none could be read. */
  readonly from: Address | null;
  /** Decoded and cut, for lists and DSN; null: no Subject. */
  readonly subject: string | null;
  /** Value of X-Fbl, by which a sender of many knows what a report is of; null: none. */
  readonly fbl: string | null;
  /** Names of the secrets with the DKIM keys that came with the message; null: none. */
  readonly dkimKeys: readonly string[] | null;
  /** Of recipients whose mail goes another way than that of their zone; null: there are none. */
  readonly ways: readonly StoredWay[] | null;
  /** What plugins keep with it, as JSON has it; null: nothing. */
  readonly extra: Readonly<Record<string, unknown>> | null;
  readonly recipientCount: number;
  /** True: it can only be sent to a peer with SMTPUTF8 (RFC 6531): a header or the return path is not ASCII. */
  readonly smtputf8: boolean;
  /** What the message is for us: `dsn` is never answered with a DSN. */
  readonly purpose: "submitted" | "dsn";
}

/** The stored bytes: header block, empty line, content; every line ends in CRLF; no Bcc and no routing header. */
export interface BodyInfo {
  readonly bytes: number;
  /** Bytes of the header block with the empty line that ends it. */
  readonly headerBytes: number;
  /** SHA-256 of the content in DKIM's relaxed form, base64 (RFC 6376 §3.4.4); null: DKIM was off at accept. */
  readonly dkimBodyHash: string | null;
  /** True: the content has octets over 127 and wants 8BITMIME (RFC 6152). */
  readonly eightBit: boolean;
}

/** Where a submission came from. */
export interface Origin {
  /** Name of the SMTP interface, or `api`, or `bounce` for our own DSN. */
  readonly interface: string;
  readonly protocol: "SMTP" | "ESMTP" | "ESMTPS" | "ESMTPA" | "ESMTPSA" | "LMTP" | "HTTP" | "INTERNAL";
  /** IP address of the client; null: unknown or internal. */
  readonly ip: string | null;
  /** Name of that address by reverse DNS; null: none. */
  readonly host: string | null;
  /** What the client called itself in EHLO; null: it did not. */
  readonly helo: string | null;
  /** Authenticated user; null: none. */
  readonly user: string | null;
  /** TLS version and cipher, such as `TLSv1.3 TLS_AES_256_GCM_SHA384`; null: in clear. */
  readonly tls: string | null;
}

/** Of mail that we write ourselves. `name` stands for the interface it did not come by. */
export function ownOrigin(name: "api" | "bounce"): Origin {
  return { interface: name, protocol: "INTERNAL", ip: null, host: null, helo: null, user: null, tls: null };
}

/** By ZoneMTA's names, as clients of the API and plugins know them. */
export function originFields({ interface: name, ip, host, helo, protocol, user }: Origin) {
  return { interface: name, origin: ip, originhost: host, transhost: helo, transtype: protocol, user };
}

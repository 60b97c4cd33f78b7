/** The mails of the tour: each is sent so that it meets one fate, and says what fate that should be. */

import { createTransport } from "nodemailer";

export interface Doors {
  readonly smtpPort: number;
  readonly httpUrl: string;
}

export interface Fate {
  readonly title: string;
  readonly how: "SMTP" | "HTTP";
  /** State that every recipient should end in. */
  readonly expected: "DELIVERED" | "BOUNCED" | "SUPPRESSED";
  readonly recipients: readonly string[];
  /** Hand the mail in; resolves with the message id. */
  send(doors: Doors): Promise<string>;
}

const FROM = "demo@sender.example";
const LARGE_BYTES = 20 * 1_024 * 1_024;
const DELAY_MS = 8_000;
const GROUP_SIZE = 50;

export const SUPPRESSED = "unsubscribed@example.com";

const group = Array.from({ length: GROUP_SIZE }, (_, i) => `reader${i + 1}@list.example`);

export const FATES: readonly Fate[] = [
  bySmtp({ title: "delivered", recipients: ["anna@example.com"], expected: "DELIVERED" }),
  bySmtp({ title: `${GROUP_SIZE} recipients, one transaction`, recipients: group, expected: "DELIVERED" }),
  byHttp({
    title: "greylisted, then delivered",
    recipients: ["greylist@example.org"],
    expected: "DELIVERED",
  }),
  bySmtp({ title: "refused at RCPT", recipients: ["550-rcpt@example.net"], expected: "BOUNCED" }),
  byHttp({ title: "refused after the content", recipients: ["550-data@example.net"], expected: "BOUNCED" }),
  byHttp({ title: "on the suppression list", recipients: [SUPPRESSED], expected: "SUPPRESSED" }),
  byHttp(
    {
      title: `delayed by ${DELAY_MS / 1_000} seconds`,
      recipients: ["later@example.com"],
      expected: "DELIVERED",
    },
    () => ({ deferDelivery: Date.now() + DELAY_MS }),
  ),
  bySmtp({ title: "20 MB large", recipients: ["big@large.example"], expected: "DELIVERED" }, LARGE_BYTES),
];

type Plan = Pick<Fate, "title" | "recipients" | "expected">;

function bySmtp(plan: Plan, attachmentBytes = 0): Fate {
  return {
    ...plan,
    how: "SMTP",
    async send({ smtpPort }) {
      const transport = createTransport({ host: "127.0.0.1", port: smtpPort, ignoreTLS: true });
      const attachments =
        attachmentBytes > 0
          ? [{ filename: "large.bin", content: Buffer.alloc(attachmentBytes, "large ") }]
          : [];
      const sent = await transport.sendMail({ ...contentOf(plan), to: [...plan.recipients], attachments });
      transport.close();
      return idIn(sent.response);
    },
  };
}

function byHttp(plan: Plan, more: () => object = () => ({})): Fate {
  return {
    ...plan,
    how: "HTTP",
    async send({ httpUrl }) {
      const body = JSON.stringify({ ...contentOf(plan), to: plan.recipients, ...more() });
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${httpUrl}/send`, { method: "POST", headers, body });
      const answer = (await response.json()) as { id?: string; error?: string };
      if (answer.id === undefined) throw new Error(`${plan.title}: ${response.status} ${answer.error}`);
      return answer.id;
    },
  };
}

function contentOf({ title }: Plan) {
  return { from: FROM, subject: `ZoneFleet demo: ${title}`, text: `This mail should be ${title}.\n` };
}

function idIn(reply: string): string {
  const id = /queued as (\S+)/.exec(reply)?.[1];
  if (id === undefined) throw new Error(`no message id in the reply: ${reply}`);
  return id;
}

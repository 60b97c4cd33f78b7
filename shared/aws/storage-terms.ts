/** For how long what lies on AWS stays there: the same whether the stacks make table, bucket and queues, or bootstrap.ts does. */

import { DAY, MINUTE } from "../domain/units.ts";

export { BODY_PREFIX } from "./body-store.ts";
export { UPLOAD_PREFIX } from "./upload-store.ts";

/** How long a signal stays unseen while its rows are worked on: a little longer than a lease. */
export const DEFAULT_VISIBILITY_MS = 6 * MINUTE;
/** The longest that SQS keeps a message. The row is the truth, so nothing is lost with it; this only saves the audit work. */
export const RETENTION_MS = 14 * DAY;
/** Giving a signal back counts as a receive too, so that only what comes round for hours is a dead letter. */
export const MAX_RECEIVES = 100;
/** What an upload that was cut off has left is paid for until it is taken away. */
export const CUT_OFF_AFTER_DAYS = 1;
/** A client sends what it has uploaded within minutes, or it has given up. */
export const UPLOADS_AFTER_DAYS = 2;
/**
 * Bodies are deleted when their mail is done; this is for those that a crash has left without one. It must be longer than any mail
 * waits, and an operator may hold mail for as long as he likes: a mail held for longer than this has no bytes any more.
 */
export const BODIES_AFTER_DAYS = 400;

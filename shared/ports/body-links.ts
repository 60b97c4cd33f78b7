/** The way past a server that cannot hand a large body through: its reader gets it from the store itself. */

import type { MessageId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";

export interface BodyLinks {
  /** A URL by which anybody who has it gets the whole body until then, by requests of that method alone. Null: no such body. */
  link(id: MessageId, method: "GET" | "HEAD"): Promise<{ url: string; expiresAt: EpochMs } | null>;
}

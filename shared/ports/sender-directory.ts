/** The operator's own system that is asked about a sender before his mail is taken (`core/http-config`). */

import type { Address } from "../domain/address.ts";
import type { DkimKeySource } from "../domain/config.ts";
import type { Origin } from "../domain/message.ts";
import type { EpochMs } from "../domain/units.ts";
import type { Way } from "../domain/way.ts";

export interface SenderFacts {
  /** Null: `<>`. */
  readonly returnPath: Address | null;
  readonly origin: Origin;
}

/** What it may say of the mail; null: nothing. */
export interface SenderSettings {
  /** Name of the zone to send by. One that does not exist counts as none. */
  readonly zone: string | null;
  readonly notBefore: EpochMs | null;
  /** In place of the X-Fbl header's value. */
  readonly fbl: string | null;
  /** Sign the mail, whatever its From, besides the keys of the configuration. */
  readonly dkimKeys: readonly DkimKeySource[];
  /** For all recipients. */
  readonly way: Way | null;
}

export type SenderAnswer =
  | { readonly kind: "settings"; readonly settings: SenderSettings }
  /** `code` is an SMTP reply code of class 4 or 5. */
  | { readonly kind: "refused"; readonly code: number; readonly text: string };

export interface SenderDirectory {
  /** Rejects when it does not answer in time or cannot be understood: then nobody knows, and the mail is not taken for now. */
  lookUp(sender: SenderFacts): Promise<SenderAnswer>;
}

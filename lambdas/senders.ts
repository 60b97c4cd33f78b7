/** The operator's directory of senders (`core/http-config`), whose URL is a secret: asked for with the first mail. */

import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import type { SenderDirectory } from "#shared/ports/sender-directory.ts";
import { httpSenderDirectory } from "#shared/runtime/http-sender-directory.ts";

export interface LazySendersDeps {
  /** With names in the places of secrets. */
  readonly config: Pick<Config, "httpConfig">;
  readonly wholeConfig: () => Promise<Pick<Config, "httpConfig">>;
  readonly clock: Clock;
}

/** Null: there is none. */
export function lazySenders({ config, wholeConfig, clock }: LazySendersDeps): SenderDirectory | null {
  if (config.httpConfig === null) return null;
  let known: { readonly url: string; readonly directory: SenderDirectory } | null = null;
  return {
    async lookUp(sender) {
      const { httpConfig } = await wholeConfig();
      if (httpConfig === null) throw new Error("the directory of senders is gone from the configuration");
      if (known?.url !== httpConfig.url)
        known = { url: httpConfig.url, directory: httpSenderDirectory(httpConfig, { clock }) };
      return known.directory.lookUp(sender);
    },
  };
}

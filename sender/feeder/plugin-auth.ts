/**
 * Who may submit, by the word of plugins: where one takes `smtp:auth`, the accounts are not asked, and who no hook refuses is in.
 * A hook that fails says nothing, and so nobody is let in by it.
 */

import { MAX_CREDENTIAL_LENGTH } from "#shared/app/accounts.ts";
import type { Login } from "#shared/app/credentials.ts";
import { RefusedError } from "#shared/domain/errors.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import type { AuthView, SessionView } from "#shared/plugins/views.ts";

/** Throws when a hook fails. */
export async function loginByPlugins(
  plugins: Plugins,
  given: { readonly user: string; readonly password: string | undefined; readonly method: string },
  session: SessionView,
): Promise<Login | "wrong"> {
  const { user, password, method } = given;
  if (user === "" || user.length > MAX_CREDENTIAL_LENGTH) return "wrong";
  if (password === "" || (password?.length ?? 0) > MAX_CREDENTIAL_LENGTH) return "wrong";
  const auth: AuthView = { username: user, password, method };
  try {
    await plugins.run("smtp:auth", auth, session);
  } catch (error) {
    if (error instanceof RefusedError && error.reply.code >= 500) return "wrong";
    throw error;
  }
  return auth.username === "" ? "wrong" : { user: auth.username, senders: null };
}

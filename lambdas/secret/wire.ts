/** The secret of the deployment, for the Lambdas that need one: apart from wire.ts, so that the others go without its client. */

import type { DeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { deploymentSecret, noDeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { secretText } from "#shared/aws/secrets-manager.ts";
import { awsSettingsOf } from "#shared/runtime/aws-settings.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";

/** Read when it is first wanted. */
export function secretOf(env: Readonly<Record<string, string | undefined>>): DeploymentSecret {
  const { secret } = awsSettingsOf(env);
  return secret === null
    ? noDeploymentSecret
    : deploymentSecret(secretText(secret, env), { clock: systemClock });
}

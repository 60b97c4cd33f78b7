/** Errors of AWS in words for people. Commands reach AWS through ports, so an error is known here by its shape alone. */

/**
 * What went wrong at AWS, or before it was asked, and what to do about it: most often somebody has not signed in, or is in another
 * account. Null: it is not an error of AWS, or of its SDK.
 */
export function awsTrouble(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const { name, message } = error;
  if (name === "CredentialsProviderError" || name === "TokenProviderError")
    return `no AWS credentials: ${message}. Sign in to the account of the deployment, or name a profile in AWS_PROFILE.`;
  if (message === "Region is missing")
    // a plain Error of the SDK
    return "no AWS region: set AWS_REGION, as the output Environment of the storage stack says it.";
  if (!isAnswer(error)) return null;
  return `AWS: ${name}: ${message}\nSee that the credentials are those of the deployment's account, not expired, and may do this, and that what the output Environment of the storage stack says is set.`;
}

/** True: AWS has answered with it. */
function isAnswer(error: Error): boolean {
  return "$fault" in error && "$metadata" in error;
}

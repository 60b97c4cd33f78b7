/** Findings of cdk-nag that stand, each with its reason where the resource is made. */

import { Stack, Validations } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

export function accept(construct: IConstruct, finding: string, reason: string): void {
  Validations.of(construct).acknowledge({ id: finding, reason });
}

/** A grant on all that begins alike, such as the objects below a prefix. */
export function acceptWildcard(construct: IConstruct, resource: string, reason: string): void {
  const shown = flattened(Stack.of(construct).resolve(resource));
  accept(construct, `AwsSolutions-IAM5[Resource::${shown}]`, reason);
}

/** As cdk-nag prints it: `<AWS::AccountId>` for what is only known when it is deployed. */
function flattened(resolved: unknown): string {
  if (typeof resolved === "string") return resolved;
  const { Ref, "Fn::Join": joined } = resolved as { Ref?: string; "Fn::Join"?: [string, unknown[]] };
  if (joined) return joined[1].map((part) => flattened(part)).join(joined[0]);
  return `<${Ref ?? ""}>`;
}

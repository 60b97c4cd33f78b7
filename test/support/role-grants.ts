/** What a role of a template may do, asked as IAM would be: only what is written here of IAM is known, and all else is an error. */

import assert from "node:assert/strict";

import type { Template } from "aws-cdk-lib/assertions";

import type { AwsCall } from "./aws-calls.ts";

interface Statement {
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
  readonly Condition?: Conditions;
}

export type Conditions = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface Grant {
  readonly actions: readonly string[];
  /** ARNs, with `<AccountId>` and the like for what is only known when it is deployed. */
  readonly resources: readonly string[];
  readonly conditions: Conditions | null;
}

interface Policy {
  readonly Roles?: readonly { readonly Ref: string }[];
  readonly PolicyDocument: { readonly Statement: readonly Statement[] };
}

/** Of the role with that logical id, and its policies of its own. */
export function grantsOf(template: Template, role: string): Grant[] {
  const policies = [
    ...Object.values(template.findResources("AWS::IAM::Policy")),
    ...Object.values(template.findResources("AWS::IAM::ManagedPolicy")),
  ].map(({ Properties }) => Properties as Policy);
  const own = policies.filter(({ Roles = [] }) => Roles.some(({ Ref }) => Ref === role));
  return own.flatMap(({ PolicyDocument }) => PolicyDocument.Statement).map(grantOf);
}

/** The role of the Lambda of that name. */
export function roleOfLambda(template: Template, functionName: string): string {
  const found = Object.values(
    template.findResources("AWS::Lambda::Function", { Properties: { FunctionName: functionName } }),
  );
  const [only] = found;
  assert.ok(only && found.length === 1, functionName);
  const { Role } = only["Properties"] as { Role: { "Fn::GetAtt": [string, string] } };
  return Role["Fn::GetAtt"][0];
}

/** The role of the hosts that send: the one for EC2. */
export function roleOfSenders(template: Template): string {
  const roles = Object.entries(template.findResources("AWS::IAM::Role"));
  const [found, ...others] = roles.filter(([, role]) => JSON.stringify(role).includes("ec2.amazonaws.com"));
  assert.ok(found && others.length === 0);
  return found[0];
}

export function isGranted(grants: readonly Grant[], call: AwsCall): boolean {
  return grants.some((grant) => covers(grant, call));
}

export function covers({ actions, resources, conditions }: Grant, call: AwsCall): boolean {
  return (
    actions.includes(call.action) &&
    resources.some((arn) =>
      pattern(`arn:*:${arn.split(":").slice(5).join(":")}`).test(`arn:*:${call.resource}`),
    ) &&
    (conditions === null || holds(conditions, call))
  );
}

/** Only what grants.ts writes. */
function holds(conditions: Conditions, { partitions }: AwsCall): boolean {
  const [[operator, keys] = ["", {}], ...more] = Object.entries(conditions);
  assert.deepEqual(
    [operator, Object.keys(keys), more.length],
    ["ForAllValues:StringLike", ["dynamodb:LeadingKeys"], 0],
  );
  const allowed = [keys["dynamodb:LeadingKeys"]].flat() as string[];
  assert.ok(partitions !== null && partitions.length > 0, "IAM takes no keys for all keys");
  return partitions.every((partition) => allowed.some((each) => pattern(each).test(partition)));
}

function grantOf({ Effect, Action, Resource, Condition }: Statement): Grant {
  assert.equal(Effect, "Allow");
  return {
    actions: [Action].flat(),
    resources: [Resource].flat().map(rendered),
    conditions: Condition ?? null,
  };
}

/** `Ref` and the like in words. */
export function rendered(value: unknown): string {
  if (typeof value === "string") return value.replaceAll(/\$\{AWS::(\w+)\}/g, "<$1>");
  const [[name, argument] = ["", null]] = Object.entries(value as object);
  if (name === "Fn::Join") return (argument as [string, unknown[]])[1].map(rendered).join("");
  if (name === "Ref") return `<${String(argument).replace(/^AWS::/, "")}>`;
  return `<${JSON.stringify(argument)}>`;
}

function pattern(text: string): RegExp {
  const escaped = text.replaceAll(/[\\^$+.()|[\]{}]/g, String.raw`\$&`);
  return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`);
}

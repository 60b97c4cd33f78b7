/** Resources of a template, as tests look at them. */

import assert from "node:assert/strict";

import type { Template } from "aws-cdk-lib/assertions";

export interface Resource {
  readonly Type: string;
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
  readonly UpdatePolicy?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly Properties: Readonly<Record<string, any>>; // eslint-disable-line -- tests look into it as they like
}

/** By logical id. */
export function resourcesIn(template: Template): Map<string, Resource> {
  return new Map(Object.entries(template.toJSON()["Resources"] as Record<string, Resource>));
}

export function ofType(template: Template, type: string): Resource[] {
  return [...resourcesIn(template).values()].filter(({ Type }) => Type === type);
}

/** Properties of the one resource of its type. */
export function onlyOne(template: Template, type: string): Resource["Properties"] {
  const [found, ...others] = ofType(template, type);
  assert.ok(found && others.length === 0, type);
  return found.Properties;
}

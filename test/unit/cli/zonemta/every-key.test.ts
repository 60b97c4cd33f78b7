/** Each key of ZoneMTA, with a value that is not its default (test/data/zonemta-keys.json): by import-config, and by hand. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import { printPath } from "#shared/runtime/config-errors.ts";
import { parseConfig } from "#shared/runtime/config.ts";

import { merged } from "../../../../cli/zonemta/tree.ts";
import type { Tree, Value } from "../../../../cli/zonemta/tree.ts";
import { isTree } from "../../../../cli/zonemta/tree.ts";
import { carried } from "../../../support/carried-over.ts";
import { TEST_CERT, TEST_KEY } from "../../../support/scripted-peer.ts";

interface KeyCase {
  /** Names from the top, with spaces between them. */
  readonly key: string;
  readonly value: Value;
  /** What it needs beside it. */
  readonly with?: Tree;
  /** Where it is here; left out: under the same names. */
  readonly here?: string;
  /** What it is here; left out: the same value. */
  readonly is?: Value;
  /** Of a key that is not carried over: what the reason says, and of which key, unless it is this one. */
  readonly named?: string;
  readonly at?: string;
  /** Of one that is kept for the operator: what he is told. */
  readonly toBePutRight?: string;
}

const text = readFileSync(new URL("../../../data/zonemta-keys.json", import.meta.url), "utf8")
  .replaceAll('"<key>"', JSON.stringify(TEST_KEY))
  .replaceAll('"<cert>"', JSON.stringify(TEST_CERT));
const cases = JSON.parse(text) as readonly KeyCase[];

const treeWith = (path: readonly string[], value: Value): Tree =>
  path.reduceRight<Value>((inner, name) => ({ [name]: inner }), value) as Tree;

const at = (tree: Value | undefined, path: readonly string[]): Value | undefined =>
  path.reduce<Value | undefined>((inner, name) => (isTree(inner) ? inner[name] : undefined), tree);

/** What keeps us from being started with it. */
function problem(config: Tree): string {
  try {
    parseConfig(config, { source: null, baseDir: "/" });
    return "";
  } catch (error) {
    assert.ok(error instanceof DomainError);
    return error.message;
  }
}

/** Files that are not there on the machine of the test. */
const ELSEWHERE = /no module \/|cannot read \//;

describe("a configuration of ZoneMTA that says", () => {
  for (const { key, value, here = key, is = value, named, at: place = key, toBePutRight, ...rest } of cases)
    test(`${key} is moved: ${JSON.stringify(value).slice(0, 50)}`, () => {
      const path = key.split(" ");
      const { config, changed, leftOut } = carried(merged(rest.with ?? {}, treeWith(path, value)));
      const said = [...changed, ...leftOut];
      if (named !== undefined) {
        const line = said.find((one) => one.startsWith(`${printPath(place.split(" "))}: `));
        assert.ok(line?.includes(named), `named with ${JSON.stringify(named)}: ${said.join("\n")}`);
        assert.equal(at(config, path), undefined);
      } else {
        assert.deepEqual(at(config, here.split(" ")), is);
        assert.deepEqual(leftOut, key.startsWith("queueServer") ? leftOut : []);
      }
      const wrong = problem(config);
      if (toBePutRight !== undefined) assert.ok(wrong.includes(toBePutRight), wrong);
      else assert.ok(wrong === "" || ELSEWHERE.test(wrong), wrong);
    });
});

describe("a configuration written by hand that says", () => {
  for (const { key, value, here = key, named, toBePutRight, ...rest } of cases)
    test(`${key} is taken as it is, or refused with what to do: ${JSON.stringify(value).slice(0, 50)}`, () => {
      const wrong = problem(merged(rest.with ?? {}, treeWith(key.split(" "), value)));
      const isOurs = named === undefined && toBePutRight === undefined && here === key;
      if (isOurs) assert.ok(wrong === "" || ELSEWHERE.test(wrong), wrong);
      else assert.match(wrong, ADVICE);
    });
});

/** What an operator can act on. */
const ADVICE =
  /has no meaning here \(.+\); remove it|[:;] write |expected .+, (such as|found)|known here: core\/|cannot read|remove it/;

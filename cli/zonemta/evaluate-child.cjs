/**
 * Evaluates a configuration module of ZoneMTA and sends what it exports as plain data. It runs in a process of its own that may read
 * the folder of the module and nothing else (evaluate.ts): CommonJS, because the permission model then asks for no other file.
 */

"use strict";

const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { dirname } = require("node:path");
const { compileFunction } = require("node:vm");

const MAX_NESTING = 50;

/** What is no data is left out, and its path is told. */
function plain(value, path, unusable) {
  if (value === null || ["string", "boolean"].includes(typeof value)) return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  const known = Array.isArray(value) || Object.prototype.toString.call(value) === "[object Object]";
  if (!known || path.length > MAX_NESTING) {
    if (value !== undefined) unusable.push(path);
    return undefined;
  }
  const entries = Object.entries(value).map(([key, one]) => [key, plain(one, [...path, key], unusable)]);
  const usable = entries.filter(([, one]) => one !== undefined);
  return Array.isArray(value) ? usable.map(([, one]) => one) : Object.fromEntries(usable);
}

const file = process.argv[2];
const theirs = { exports: {} };
const names = ["module", "exports", "require", "__filename", "__dirname"];
const evaluate = compileFunction(readFileSync(file, "utf8"), names, { filename: file });
evaluate(theirs, theirs.exports, createRequire(file), file, dirname(file));
const unusable = [];
const tree = plain(theirs.exports, [], unusable);
process.send({ tree, unusable }, () => process.exit(0));

/**
 * Evaluates a configuration module of ZoneMTA and sends what it exports as plain data. It runs in a process of its own that may read
 * the folders it is given and nothing else (evaluate.ts): CommonJS, because the permission model then asks for no other file.
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
  if (Buffer.isBuffer(value)) return value.toString(); // a PEM file that was read
  if (value instanceof Date) return value.toISOString();
  const known = Array.isArray(value) || Object.prototype.toString.call(value) === "[object Object]";
  if (!known || path.length > MAX_NESTING) {
    if (value !== undefined) unusable.push(path);
    return undefined;
  }
  const entries = Object.entries(value).map(([key, one]) => [key, plain(one, [...path, key], unusable)]);
  const usable = entries.filter(([, one]) => one !== undefined);
  return Array.isArray(value) ? usable.map(([, one]) => one) : Object.fromEntries(usable);
}

/** The environment, which notes which variables are asked for. */
function watched(env, { set, unset }) {
  return new Proxy(env, {
    get(target, name) {
      const value = target[name];
      if (typeof name === "string" && !name.startsWith("NODE_"))
        (value === undefined ? unset : set).add(name);
      return value;
    },
  });
}

const file = process.argv[2];
const theirs = { exports: {} };
const names = ["module", "exports", "require", "__filename", "__dirname"];
const asked = { set: new Set(), unset: new Set() };
const env = process.env;
const evaluate = compileFunction(readFileSync(file, "utf8"), names, { filename: file });
process.env = watched(env, asked);
evaluate(theirs, theirs.exports, createRequire(file), file, dirname(file));
process.env = env;
const unusable = [];
const value = plain(theirs.exports, [], unusable);
process.send({ value, unusable, set: [...asked.set], unset: [...asked.unset] }, () => process.exit(0));

/** The arrows between layers (docs/architecture.md), read from the imports of the sources. */

import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What each layer may import besides itself and packages. `bench` and `test` may import anything. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "shared/domain": [],
  "shared/ports": ["shared/domain"],
  "shared/plugins": ["shared/domain", "shared/ports"],
  "shared/app": ["shared/domain", "shared/ports", "shared/plugins"],
  "shared/aws": ["shared/domain", "shared/ports", "shared/app"],
  "shared/embedded": ["shared/domain", "shared/ports", "shared/app"],
  "shared/runtime": ["shared/domain", "shared/ports", "shared/plugins", "shared/app"],
  "shared/core-plugins": ["shared/domain", "shared/ports", "shared/plugins", "shared/app", "shared/runtime"],
  lambdas: ["shared"],
  sender: ["shared"],
  cli: ["shared"],
  infra: ["shared"],
};

/** The front door on one machine calls the very handlers of the Lambdas; that of start:aws-local their bundles. */
const MAY_CALL_HANDLERS = [
  "sender/api-server.ts",
  "sender/front-doors.ts",
  "sender/aws-local/lambdas.ts",
  "sender/aws-local/front-door-main.ts",
];

/** Adapters are chosen in `wire.ts` files, and the embedded ones are put together here. */
const MAY_CHOOSE_ADAPTERS = ["shared/embedded/open.ts"];

/** What the stacks are made to fit: the shape of table, bucket and queues, and the bundles. They run none of it. */
const SHAPES = [
  ...["host-terms", "keys", "names", "storage-terms", "stream-readers", "table"].map(
    (name) => `shared/aws/${name}.ts`,
  ),
  "lambdas/build.ts",
  "sender/bundle.ts",
];

/** Modules of Node that compute and touch nothing outside. */
const PURE_MODULES = ["node:assert", "node:buffer", "node:crypto", "node:net", "node:url", "node:util"];
/** Readers and writers of one format, without I/O. */
const PURE_PACKAGES = ["nodemailer/lib/addressparser", "nodemailer/lib/qp", "ipaddr.js"];

interface Import {
  /** Path from the root. */
  readonly from: string;
  /** Path from the root, or the name of a package or module. */
  readonly to: string;
  /** As written. */
  readonly specifier: string;
}

function importsOf(from: string, source: string): Import[] {
  const patterns = [
    /^(?:import|export)\s[^;"']*?\bfrom\s+"([^"]+)"/gm,
    /^import\s+"([^"]+)"/gm,
    /\bimport\(\s*"([^"]+)"/g,
  ];
  return patterns
    .flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[1] as string))
    .map((specifier) => ({ from, to: targetOf(from, specifier), specifier }));
}

function targetOf(from: string, specifier: string): string {
  if (specifier.startsWith("#shared/")) return specifier.slice(1);
  return specifier.startsWith(".") ? join(dirname(from), specifier) : specifier;
}

/** `shared/domain`, `sender`, … ; null: a package, a module, or no layer. */
function layerOf(path: string): string | null {
  return Object.keys(MAY_IMPORT).find((layer) => path.startsWith(`${layer}/`)) ?? null;
}

/** Why an import is a crossing; null: it is none. */
function crossing({ from, to, specifier }: Import): string | null {
  const [here, there] = [layerOf(from), layerOf(to)];
  if (here === null) return null;
  const insideShared = from.startsWith("shared/");
  if (specifier.startsWith("#shared/") && insideShared) return "inside shared/ imports are relative";
  if (specifier.startsWith(".") && !insideShared && to.startsWith("shared/"))
    return "shared/ is reached as #shared/…";
  if (here === "shared/domain" && !isPure(to)) return "the domain is pure";
  if (here === "infra" && SHAPES.includes(to)) return null;
  if (to.startsWith("@aws-sdk/") && here !== "shared/aws") return "AWS is behind the ports";
  if (there === "shared/aws" || there === "shared/embedded") return adapterCrossing(from, here, there);
  if (there === null || there === here)
    return /^(test|bench)\//.test(to) ? "tests and benchmarks are not for use" : null;
  if (there === "lambdas" && MAY_CALL_HANDLERS.includes(from)) return null;
  const allowed = (MAY_IMPORT[here] ?? []).some((layer) => there === layer || there.startsWith(`${layer}/`));
  return allowed ? null : `${here} may not import ${there}`;
}

function adapterCrossing(from: string, here: string, there: string): string | null {
  const chooses = basename(from) === "wire.ts" || MAY_CHOOSE_ADAPTERS.includes(from);
  return here === there || chooses ? null : "only wire.ts files choose adapters";
}

function isPure(to: string): boolean {
  return to.startsWith("shared/") || PURE_MODULES.includes(to) || PURE_PACKAGES.includes(to);
}

const files = globSync("{shared,lambdas,sender,cli,infra}/**/*.ts", {
  cwd: root,
  exclude: ["**/node_modules/**"],
});
const sources = new Map(files.map((file) => [file, readFileSync(join(root, file), "utf8")]));

describe("imports", () => {
  test("are found in the sources", () => {
    const imports = [...sources].flatMap(([file, source]) => importsOf(file, source));
    assert.ok(imports.length > 100, `${imports.length} imports in ${files.length} files`);
    assert.ok(
      imports.some(({ from, to }) => from === "shared/domain/pool.ts" && to === "shared/domain/ip.ts"),
    );
    assert.ok(imports.some(({ from, to }) => layerOf(from) === "sender" && layerOf(to) === "shared/domain"));
  });

  test("cross no layer", () => {
    const crossings = [...sources]
      .flatMap(([file, source]) => importsOf(file, source))
      .map((one) => ({ ...one, why: crossing(one) }))
      .filter(({ why }) => why !== null);
    assert.deepEqual(
      crossings.map(({ from, specifier, why }) => `${from} imports ${specifier}: ${why}`),
      [],
    );
  });
});

describe("the domain", () => {
  const impure =
    /\bprocess\.|\bset(?:Timeout|Interval|Immediate)\(|\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\brandomBytes\(\d|\bfetch\(/;

  test("reads no clock, no chance, no environment and sets no timer", () => {
    const found = [...sources].flatMap(([file, source]) =>
      layerOf(file) === "shared/domain"
        ? codeLines(source).flatMap((line) => (impure.test(line) ? [`${file}: ${line.trim()}`] : []))
        : [],
    );
    assert.deepEqual(found, []);
  });
});

/** Lines that are no comment. */
function codeLines(source: string): string[] {
  return source.split("\n").filter((line) => !/^\s*(?:\/\/|\/?\*)/.test(line));
}

describe("the check itself", () => {
  const cases: [from: string, specifier: string, why: RegExp | null][] = [
    ["shared/domain/a.ts", "./b.ts", null],
    ["shared/domain/a.ts", "node:crypto", null],
    ["shared/domain/a.ts", "node:fs", /pure/],
    ["shared/domain/a.ts", "zod", /pure/],
    ["shared/domain/a.ts", "../ports/b.ts", /domain may not import shared\/ports/],
    ["shared/ports/a.ts", "../domain/b.ts", null],
    ["shared/ports/a.ts", "../app/b.ts", /ports may not import shared\/app/],
    ["shared/app/a.ts", "../embedded/b.ts", /choose adapters/],
    ["shared/app/a.ts", "../runtime/b.ts", /app may not import shared\/runtime/],
    ["shared/embedded/a.ts", "./b.ts", null],
    ["shared/embedded/a.ts", "../aws/b.ts", /choose adapters/],
    ["shared/app/a.ts", "../../sender/b.ts", /app may not import sender/],
    ["shared/app/a.ts", "#shared/domain/b.ts", /relative/],
    ["sender/a.ts", "../shared/domain/b.ts", /#shared/],
    ["sender/a.ts", "#shared/domain/b.ts", null],
    ["sender/a.ts", "#shared/embedded/open.ts", /choose adapters/],
    ["sender/wire.ts", "#shared/embedded/open.ts", null],
    ["sender/zone/a.ts", "../../lambdas/b.ts", /sender may not import lambdas/],
    ["sender/api-server.ts", "../lambdas/b.ts", null],
    ["lambdas/a.ts", "../sender/b.ts", /lambdas may not import sender/],
    ["cli/a.ts", "../sender/b.ts", /cli may not import sender/],
    ["sender/a.ts", "../test/support/b.ts", /not for use/],
    ["sender/a.ts", "@aws-sdk/client-sqs", /behind the ports/],
    ["shared/aws/a.ts", "@aws-sdk/client-sqs", null],
    ["infra/stacks/a.ts", "../../lambdas/build.ts", null],
    ["infra/stacks/a.ts", "../../lambdas/send.ts", /infra may not import lambdas/],
    ["infra/a.ts", "#shared/aws/keys.ts", null],
    ["infra/a.ts", "#shared/aws/open.ts", /choose adapters/],
  ];
  for (const [from, specifier, why] of cases) {
    test(`${why ? "stops" : "lets pass"} ${specifier} in ${from}`, () => {
      const [found] = importsOf(from, `import { x } from "${specifier}";`);
      const answer = crossing(found as Import);
      if (why) assert.match(answer ?? "", why);
      else assert.equal(answer, null);
    });
  }

  test("reads imports in every form, and none in comments", () => {
    const source = [
      'import type { A } from "./a.ts";',
      'import {\n  B,\n  C,\n} from "./b.ts";',
      'export { D } from "./d.ts";',
      'import "./e.ts";',
      'const f = await import("./f.ts");',
      ' * import { G } from "./g.ts";',
    ].join("\n");
    const specifiers = importsOf("sender/x.ts", source).map(({ specifier }) => specifier);
    assert.deepEqual(specifiers, ["./a.ts", "./b.ts", "./d.ts", "./e.ts", "./f.ts"]);
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { compilePattern, PatternError } from "#shared/domain/pattern.ts";
import { patternSet } from "#shared/domain/pattern-match.ts";

const isIn = (pattern: string, text: string): boolean =>
  patternSet([compilePattern(pattern)]).matching(text).length === 1;

/** Pieces of patterns that both engines read in the same way. */
const PIECES = [
  ["a", "b", "A", "1", "_", " ", "-", ".", "]", "}", "{", "{x"],
  ["[ab]", "[^ab]", "[a-c1]", "[^A-C]"],
  [
    String.raw`\.`,
    String.raw`\d`,
    String.raw`\D`,
    String.raw`\w`,
    String.raw`\W`,
    String.raw`\s`,
    String.raw`\S`,
  ],
  [String.raw`[\d_-]`, String.raw`[^\w]`, String.raw`[\W]`, String.raw`\x61`, String.raw`\u0062`],
];
const piece = fc.constantFrom(...PIECES.flat());
const edge = fc.constantFrom("^", "$", String.raw`\b`, String.raw`\B`);
const repeat = fc.constantFrom("", "", "*", "+", "?", "*?", "+?", "{2}", "{1,2}", "{0,1}", "{2,}");
const { pattern } = fc.letrec<{ pattern: string; part: string }>((tie) => ({
  pattern: fc.array(tie("part"), { maxLength: 4 }).map((parts) => parts.join("")),
  part: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.tuple(piece, repeat).map(([one, times]) => one + times),
    edge,
    fc.tuple(tie("pattern"), repeat).map(([inner, times]) => `(?:${inner})${times}`),
    fc.tuple(tie("pattern"), tie("pattern")).map(([one, other]) => `(${one}|${other})`),
  ),
}));
const text = fc.string({
  unit: fc.constantFrom("a", "b", "c", "A", "B", "1", "_", " ", "-", ".", "{", "x"),
  maxLength: 12,
});

describe("a pattern", () => {
  test("is in a text where JavaScript's RegExp finds it", () => {
    fc.assert(
      fc.property(
        pattern.filter((source) => source !== ""),
        text,
        (source, input) => {
          assert.equal(isIn(source, input), new RegExp(source, "i").test(input), `/${source}/i in ${input}`);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test("is found among others, each for itself", () => {
    fc.assert(
      fc.property(
        fc.array(
          pattern.filter((one) => one !== ""),
          { maxLength: 6 },
        ),
        fc.array(text, { maxLength: 4 }),
        (sources, texts) => {
          const set = patternSet(sources.map(compilePattern));
          for (const input of texts) {
            const expected = sources.flatMap((source, i) => (new RegExp(source, "i").test(input) ? [i] : []));
            assert.deepEqual(set.matching(input), expected);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  for (const [source, why] of [
    ["", /empty/],
    ["(a", /not closed/],
    ["a)", /closes nothing/],
    ["[a", /not closed/],
    ["*a", /nothing to repeat/],
    ["a**", /repeated itself/],
    ["^*", /nothing to repeat/],
    ["{2}", /nothing to repeat/],
    ["a{3,2}", /wrong order/],
    ["[z-a]", /wrong order/],
    [String.raw`(a)\1`, /back references/],
    ["(?=a)", /looking ahead/],
    ["(?<!a)b", /looking ahead/],
    ["(?i:a)", /must be/],
    [String.raw`\q`, /no meaning/],
    ["a\\", /at the end/],
    ["x".repeat(1_001), /longer/],
    ["((a{999}){999}){999}", /too complicated/],
    ["(((a?){99}){99}){99}", /too complicated/],
    [`${"(".repeat(60)}a${")".repeat(60)}`, /nested/],
  ] as const) {
    test(`${source.slice(0, 30)} is refused with the reason`, () => {
      assert.throws(
        () => compilePattern(source),
        (error) => error instanceof PatternError && why.test(error.message),
      );
    });
  }
});

test("a repeat of nothing is nothing, however often", () => {
  assert.equal(isIn("((((){9999}){9999}){9999}){9999}b", "abc"), true);
});

describe("patterns that make a backtracking engine stand still", () => {
  const evil = ["(a+)+$", "(a|a)*b$", "^(([a-z])+.)+[A-Z]([a-z])+$", ".*.*.*.*.*x", "(?:a?){30}a{30}b"];
  test("take steps in proportion to the text, for the worst reply there can be", () => {
    const set = patternSet(evil.map(compilePattern));
    // RegExp needs more than the age of the universe for the first of them.
    assert.deepEqual(set.matching(`${"a".repeat(1_100)}!`), []);
  });

  test("leave a memory of bounded size behind", () => {
    const set = patternSet([compilePattern("(a|b)*a(a|b){12}$")]); // 2^13 states if all are kept
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", "b"), minLength: 100, maxLength: 300 }), (input) => {
        assert.equal(set.matching(input).length === 1, /a[ab]{12}$/.test(input));
      }),
      { numRuns: 100 },
    );
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { suppressionKeys } from "#shared/domain/suppression.ts";

import { address } from "../../support/builders.ts";

describe("a recipient is looked up among the suppressed", () => {
  test("without regard to the case of the local part", () => {
    assert.deepEqual(suppressionKeys(address("John.Doe@Example.COM")), {
      address: "john.doe@example.com",
      domain: "example.com",
    });
  });

  test("by its domain in A-labels also when the local part is not ASCII, which let mail escape in ZoneMTA", () => {
    assert.equal(suppressionKeys(address("jõgeva@jõgeva.ee")).domain, "xn--jgeva-dua.ee");
    assert.equal(suppressionKeys(address("JÕGEVA@xn--jgeva-dua.ee")).address, "jõgeva@xn--jgeva-dua.ee");
  });

  test("under one key however the local part is quoted", () => {
    assert.deepEqual(
      suppressionKeys(address('"john"@example.com')),
      suppressionKeys(address("JOHN@example.com")),
    );
    assert.equal(suppressionKeys(address('"A b"@example.com')).address, '"a b"@example.com');
  });
});

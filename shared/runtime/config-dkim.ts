/**
 * DKIM in the configuration: the section `dkim`, and the plugin `core/dkim`, which is one key that signs all mail. Both take the same
 * options about signatures; what the plugin does not say is as in the section.
 */

import { basename } from "node:path";

import * as z from "zod";

import type { AllMailKeySource, DkimConfig, DkimKeySource } from "../domain/config.ts";
import { dkimRecordName } from "../domain/dkim-record.ts";
import type { DkimTerms } from "../domain/dkim-terms.ts";
import { MAX_EXPIRE_SECONDS, parseFieldNames, USUAL_TERMS } from "../domain/dkim-terms.ts";
import type { Report } from "./config-errors.ts";
import { domain, selector } from "./config-fields.ts";
import { dkimKeyOf, dkimKeysIn } from "./config-files.ts";
import { contexts, ordering } from "./config-module-fields.ts";

/** Names of header fields, in a list or with colons between them; empty: what is usual. */
function fieldNames(which: { readonly whole: boolean }) {
  return z.union([z.string(), z.array(z.string())]).transform((input, context) => {
    const fields = parseFieldNames(input, which);
    if (fields.kind === "names") return fields.names;
    context.issues.push({ code: "custom", message: `expected ${fields.expected}`, input });
    return z.NEVER;
  });
}

const NO_SHA1 =
  "expected sha256: receivers take no signature with SHA-1 (RFC 8301 section 3.1), and with sha256 the same key goes on signing";

const signatureFields = {
  /** Header fields to sign, in place of the usual ones. */
  headerFields: fieldNames({ whole: true }).optional(),
  /** Header fields to sign beside those. */
  additionalHeaderFields: fieldNames({ whole: false }).optional(),
  hashAlgo: z
    .string()
    .refine((algorithm) => algorithm.toLowerCase() === "sha256", NO_SHA1)
    .optional(),
  /** True: mail is signed for the EHLO name that it leaves by, too, where there is a key for that. */
  signTransportDomain: z.boolean().optional(),
  /** True: signatures say when they were made. */
  addSignatureTimestamp: z.boolean().optional(),
  /** Seconds that a signature holds; 0: for good. */
  signatureExpireIn: z.int().min(0).max(MAX_EXPIRE_SECONDS).optional(),
};

const keyFields = {
  /** PEM. */
  privateKey: z.string().optional(),
  /** Of a PEM file. */
  path: z.string().optional(),
};

export const DkimSchema = z.strictObject({
  enabled: z.boolean().default(true),
  ...signatureFields,
  /** Of keys in files that are called as their DNS records: `<selector>._domainkey.<domain>.pem`. */
  keyFolder: z.string().min(1).optional(),
  keys: z.array(z.strictObject({ domain, selector, ...keyFields })).default([]),
});

/** One key, which signs all mail. */
export const DkimPluginSchema = z.strictObject({
  enabled: contexts.transform((list) => list.length > 0).default(false),
  ordering,
  ...signatureFields,
  /** Left out or empty: that of the return path, and without one that of From. */
  domain: z.union([z.literal(""), domain]).optional(),
  selector: selector.optional(),
  ...keyFields,
});

type DkimSettings = z.output<typeof DkimSchema>;
type PluginSettings = z.output<typeof DkimPluginSchema>;

interface Context {
  readonly baseDir: string;
  readonly report: Report;
}

export function dkimOf(
  { dkim, plugins }: { dkim: DkimSettings; plugins: { "core/dkim": PluginSettings } },
  context: Context,
): DkimConfig {
  const plugin = plugins["core/dkim"];
  const terms = termsOf(dkim, USUAL_TERMS, ["dkim"], context.report);
  const allMailKey = allMailKeyOf(plugin, terms, context);
  return {
    enabled: dkim.enabled,
    keys: keysOf(dkim, allMailKey, context),
    allMailKey,
    terms,
    signTransportDomain: dkim.signTransportDomain ?? (plugin.enabled && plugin.signTransportDomain === true),
  };
}

function keysOf(
  { keyFolder, keys }: DkimSettings,
  allMailKey: AllMailKeySource | null,
  { baseDir, report }: Context,
): DkimKeySource[] {
  const inFolder = keyFolder === undefined ? [] : dkimKeysIn(keyFolder, baseDir, report);
  const all = [
    ...keys.map((key, i) => ({ key, path: ["dkim", "keys", i] })),
    ...inFolder.map((key) => ({ key, path: ["dkim", "keyFolder", basename(key.path ?? "")] })),
  ];
  const seen = new Set(
    allMailKey?.domain ? [dkimRecordName({ ...allMailKey, domain: allMailKey.domain })] : [],
  );
  return all.map(({ key, path }) => {
    const record = dkimRecordName(key);
    if (seen.has(record)) report(path, `there is another key for ${record}`);
    seen.add(record);
    return { domain: key.domain, selector: key.selector, privateKey: dkimKeyOf(key, baseDir, path, report) };
  });
}

/** Null: the plugin is off, or wrong, and that is reported. */
function allMailKeyOf(
  plugin: PluginSettings,
  terms: DkimTerms,
  { baseDir, report }: Context,
): AllMailKeySource | null {
  if (!plugin.enabled) return null;
  const path = ["plugins", "core/dkim"];
  const own = termsOf(plugin, terms, path, report);
  const privateKey = dkimKeyOf(plugin, baseDir, path, report);
  if (plugin.selector !== undefined)
    return { domain: plugin.domain || null, selector: plugin.selector, privateKey, terms: own };
  report([...path, "selector"], "is missing: by what name is the key published?");
  return null;
}

/** What `settings` say, over `usual`. */
function termsOf(
  settings: Pick<PluginSettings, keyof typeof signatureFields>,
  usual: DkimTerms,
  path: readonly PropertyKey[],
  report: Report,
): DkimTerms {
  const { headerFields = [], additionalHeaderFields = [], signatureExpireIn: seconds } = settings;
  const terms = {
    headerFields: headerFields.length > 0 ? headerFields : usual.headerFields,
    additionalHeaderFields:
      additionalHeaderFields.length > 0 ? additionalHeaderFields : usual.additionalHeaderFields,
    timestamp: settings.addSignatureTimestamp ?? usual.timestamp,
    expireInSeconds: seconds === undefined ? usual.expireInSeconds : seconds || null,
  };
  if (terms.expireInSeconds !== null && !terms.timestamp)
    report(
      [...path, "signatureExpireIn"],
      "needs addSignatureTimestamp: an end is counted from the time of signing",
    );
  return terms;
}

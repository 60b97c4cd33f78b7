/** Keys and certificates that a configuration names: PEM texts, or paths from the folder of the configuration file. */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import type { Certificate } from "../domain/config.ts";
import { parseDkimPlace, readSigningPem } from "../domain/dkim.ts";
import type { Report } from "./config-errors.ts";
import type { ConfigSettings, SmtpInterfaceSettings } from "./config-schema.ts";
import { whyUnreadable } from "./unreadable-file.ts";

type DkimKeySettings = ConfigSettings["dkim"]["keys"][number];
type Path = readonly PropertyKey[];

const MAX_PEM_BYTES = 1_048_576;
const MAX_KEY_FILES = 10_000;
const KEY_FILE = /^(.+?)\._domainkey\.(.+)\.pem$/i;

/** The key and certificate of an interface; null: none are configured. */
export function tlsOf(
  settings: SmtpInterfaceSettings,
  baseDir: string,
  path: Path,
  report: Report,
): Certificate | null {
  const { key, cert, ca } = settings;
  if (key === undefined || cert === undefined) {
    const missing = key === undefined ? "key" : "cert";
    if (settings.secure || settings.starttls || key !== undefined || cert !== undefined) {
      report(
        [...path, missing],
        "is missing: TLS needs a key and a cert, each a PEM text or the path of a PEM file",
      );
    }
    return null;
  }
  return certificateOf({ key, cert, ca }, baseDir, path, report);
}

/** Null: it could not be read, and that is reported. */
export function certificateOf(
  { key, cert, ca }: { key: string; cert: string; ca?: string | string[] | undefined },
  baseDir: string,
  path: Path,
  report: Report,
): Certificate | null {
  const keyPem = readPem(key, baseDir, [...path, "key"], report);
  const certPem = readPem(cert, baseDir, [...path, "cert"], report);
  const caPem = ca === undefined ? null : readChain(ca, baseDir, [...path, "ca"], report);
  if (keyPem === null || certPem === null) return null;
  checkPair(keyPem, certPem, path, report);
  return { key: keyPem, cert: certPem, ca: caPem };
}

/** Null: a part of it could not be read, and that is reported. */
function readChain(ca: string | string[], baseDir: string, path: Path, report: Report): string | null {
  if (typeof ca === "string") return readPem(ca, baseDir, path, report);
  const parts = ca.map((part, i) => readPem(part, baseDir, [...path, i], report));
  return parts.includes(null) || parts.length === 0 ? null : parts.join("\n");
}

/** The PEM of a key to sign with; empty: it could not be read, and that is reported. */
export function dkimKeyOf(
  settings: Pick<DkimKeySettings, "path" | "privateKey">,
  baseDir: string,
  path: Path,
  report: Report,
): string {
  const source = settings.path ?? settings.privateKey;
  const name = settings.path === undefined ? "privateKey" : "path";
  if (source === undefined || (settings.path !== undefined && settings.privateKey !== undefined)) {
    report(path, "expected either privateKey (a PEM text) or path (of a PEM file)");
    return "";
  }
  const privateKey = readPem(source, baseDir, [...path, name], report);
  if (privateKey === null) return "";
  const read = readSigningPem(privateKey);
  if (read.kind === "wrong") report([...path, name], read.why);
  return privateKey;
}

/** The keys in the files of a folder. A file `.pem` that is not called as a record is reported; others are let be. */
export function dkimKeysIn(folder: string, baseDir: string, report: Report): DkimKeySettings[] {
  const whole = resolve(baseDir, folder);
  const path = ["dkim", "keyFolder"];
  const files = attempt(() => readdirSync(whole), path, `cannot read ${whole}`, report) ?? [];
  const pemFiles = files.filter((file) => file.endsWith(".pem")).toSorted();
  if (pemFiles.length > MAX_KEY_FILES) report(path, `expected at most ${MAX_KEY_FILES} keys`);
  return pemFiles.slice(0, MAX_KEY_FILES).flatMap((file) => {
    const [, selector, domain] = KEY_FILE.exec(file) ?? [];
    const place = parsePlace(selector, domain);
    if (place) return [{ ...place, path: join(whole, file) }];
    report(path, `${join(whole, file)} is not called <selector>._domainkey.<domain>.pem`);
    return [];
  });
}

function parsePlace(selector = "", domain = ""): { domain: string; selector: string } | null {
  try {
    return parseDkimPlace({ domain, selector });
  } catch {
    return null;
  }
}

/** Null: it could not be read, and that is reported. */
function readPem(textOrPath: string, baseDir: string, path: Path, report: Report): string | null {
  if (textOrPath.includes("-----BEGIN")) return textOrPath;
  const file = resolve(baseDir, textOrPath);
  try {
    const text = readFileSync(file, "utf8");
    if (text.length <= MAX_PEM_BYTES && text.includes("-----BEGIN")) return text;
    report(path, `${file} is not a PEM file`);
  } catch (error) {
    report(path, `cannot read ${file}: ${whyUnreadable(error)}`);
  }
  return null;
}

function checkPair(keyPem: string, certPem: string, path: Path, report: Report): void {
  const key = attempt(() => createPrivateKey(keyPem), [...path, "key"], "is not a private key", report);
  const cert = attempt(() => new X509Certificate(certPem), [...path, "cert"], "is not a certificate", report);
  if (key && cert && !cert.checkPrivateKey(key))
    report([...path, "cert"], "is not the certificate of this key");
}

function attempt<T>(make: () => T, path: Path, message: string, report: Report): T | null {
  try {
    return make();
  } catch (error) {
    report(path, `${message}: ${whyUnreadable(error)}`);
    return null;
  }
}

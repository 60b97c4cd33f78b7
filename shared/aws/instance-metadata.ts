/**
 * What EC2 tells an instance of itself (IMDSv2): short texts by path, at an address that only the instance reaches. Each question
 * needs a token, which is fetched first and kept for hours.
 */

import { SECOND } from "../domain/units.ts";

export interface InstanceMetadata {
  /** Null: there is nothing of that name. */
  read(path: string): Promise<string | null>;
}

/** The same on every instance. */
const USUAL_ENDPOINT = "http://169.254.169.254";
const TOKEN_S = 6 * 60 * 60;
/** It answers within milliseconds, or is not there. */
const ANSWER_MS = 2 * SECOND;
const MAX_ATTEMPTS = 3;

/** `AWS_EC2_METADATA_SERVICE_ENDPOINT` names another place, as it does for the SDK. */
export function instanceMetadata(env: Readonly<Record<string, string | undefined>>): InstanceMetadata {
  const endpoint = env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] || USUAL_ENDPOINT;
  let token: string | null = null;

  async function ask(path: string, init: RequestInit): Promise<Response> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    return fetch(new URL(path, endpoint), { ...init, signal, redirect: "error" });
  }

  async function newToken(): Promise<string> {
    const headers = { "x-aws-ec2-metadata-token-ttl-seconds": String(TOKEN_S) };
    const response = await ask("/latest/api/token", { method: "PUT", headers });
    const text = await response.text();
    if (!response.ok) throw new Error(`instance metadata gave no token (HTTP ${response.status})`);
    return text;
  }

  async function readOnce(path: string): Promise<string | null> {
    token ??= await newToken();
    const response = await ask(`/latest/meta-data/${path}`, {
      headers: { "x-aws-ec2-metadata-token": token },
    });
    const text = await response.text();
    if (response.status === 404) return null;
    if (response.status === 401) token = null; // it is over: the next try fetches another
    if (!response.ok) throw new Error(`instance metadata did not give ${path} (HTTP ${response.status})`);
    return text.trim();
  }

  return {
    async read(path) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await readOnce(path);
        } catch (error) {
          if (attempt === MAX_ATTEMPTS) throw error;
        }
      }
    },
  };
}

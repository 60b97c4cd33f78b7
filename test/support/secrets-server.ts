/** AWS Secrets Manager as far as ZoneFleet speaks to it (JSON 1.1 over HTTP), on a free port of 127.0.0.1, with secrets in memory. */

import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface SecretsServer extends AsyncDisposable {
  /** What a process needs to find it, and to sign. */
  readonly env: Readonly<Record<string, string>>;
  /** Text by name. */
  readonly secrets: Map<string, string>;
  /** Operations in the order they came. */
  readonly calls: string[];
  /** True: it answers 500. */
  isDown: boolean;
}

export async function startSecretsServer(): Promise<SecretsServer> {
  const server = createServer((request, response) => {
    void answer(state, request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const state: SecretsServer = {
    env: {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${port}`,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
    },
    secrets: new Map(),
    calls: [],
    isDown: false,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return state;
}

async function answer(
  state: SecretsServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const operation = String(request.headers["x-amz-target"]).replace("secretsmanager.", "");
  const input = JSON.parse(await text(request)) as { SecretId: string; SecretString?: string };
  state.calls.push(operation);
  if (state.isDown) return say(response, 500, { __type: "InternalServiceError", message: "down" });
  const stored = state.secrets.get(input.SecretId);
  if (stored === undefined)
    return say(response, 400, { __type: "ResourceNotFoundException", message: "cannot find the secret" });
  if (operation === "PutSecretValue") state.secrets.set(input.SecretId, input.SecretString ?? "");
  const name = { ARN: `arn:aws:secretsmanager:us-east-1:1:secret:${input.SecretId}`, Name: input.SecretId };
  say(response, 200, operation === "GetSecretValue" ? { ...name, SecretString: stored } : name);
}

function say(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/x-amz-json-1.1" });
  response.end(JSON.stringify(body));
}

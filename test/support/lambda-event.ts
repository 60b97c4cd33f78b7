/** Events as API Gateway (HTTP API, payload 2.0) hands them to a Lambda: plain JSON, bodies whole. */

import type { ApiEvent } from "../../lambdas/http.ts";

export interface LambdaRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Goes in base64, as all but text does. */
  readonly body?: Buffer | string;
  readonly stage?: string;
  /** Of API Gateway's route, such as `ANY /send`. */
  readonly routeKey?: string;
  /** Under which the API is mapped to a domain. */
  readonly basePath?: string;
  readonly sourceIp?: string;
}

export function lambdaEvent(request: LambdaRequest): ApiEvent {
  const { method, headers = {}, body, stage = "$default", sourceIp = "192.0.2.7" } = request;
  const { routeKey = "$default", basePath = "" } = request;
  const [path = "", query = ""] = request.path.split("?", 2);
  return {
    version: "2.0",
    routeKey,
    rawPath: `${stage === "$default" ? "" : `/${stage}`}${basePath}${path}`,
    rawQueryString: query,
    headers: { ...headers },
    isBase64Encoded: body !== undefined,
    ...(body === undefined ? {} : { body: Buffer.from(body).toString("base64") }),
    requestContext: {
      accountId: "1",
      apiId: "api",
      domainName: "api.example",
      domainPrefix: "api",
      http: { method, path, protocol: "HTTP/1.1", sourceIp, userAgent: "" },
      requestId: "request-1",
      routeKey,
      stage,
      time: "",
      timeEpoch: 0,
    },
  };
}

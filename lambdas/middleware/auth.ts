/** Lets a request through when its key, or its coming from this machine, allows the route's scope (shared/app/api-access.ts). */

import type { Request } from "@middy/core";

import type { Authorize } from "#shared/app/api-access.ts";
import type { Scope } from "#shared/app/routes.ts";

import type { ApiEvent } from "../http.ts";
import { callerKey } from "../http.ts";
import { HttpError } from "../http-error.ts";

export function auth({ authorize, scope }: { authorize: Authorize; scope: Scope }) {
  return {
    before: async (request: Request<ApiEvent>): Promise<void> => {
      const access = await authorize(request.event.headers, scope);
      switch (access.kind) {
        case "granted":
          request.event[callerKey] = access.keyId;
          return;
        case "unauthorized":
          throw new HttpError(401, "unauthorized", access.reason, {
            "www-authenticate": 'Bearer realm="zonefleet"',
          });
        case "forbidden":
          throw new HttpError(403, "forbidden", access.reason, {
            "www-authenticate": `Bearer realm="zonefleet", error="insufficient_scope", scope="${scope}"`,
          });
      }
    },
  };
}

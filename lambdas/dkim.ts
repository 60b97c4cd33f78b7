/** `/dkim`: the keys that mail is signed with. */

import type { DkimKeysDeps } from "#shared/app/dkim-keys.ts";
import { listDkimKeys, putDkimKey, removeDkimKey } from "#shared/app/dkim-keys.ts";
import { routes } from "#shared/app/routes.ts";
import { KIB } from "#shared/domain/units.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiHandler } from "./http.ts";
import { jsonResult, readText } from "./http.ts";

/** An RSA key of 8192 bits has 6 KiB. */
const MAX_PEM_BYTES = 16 * KIB;

type DkimRoute = "dkimKeys" | "putDkimKey" | "removeDkimKey";

export function dkimHandlers(
  deps: EndpointDeps,
  { secrets, dkim }: DkimKeysDeps,
): Record<DkimRoute, ApiHandler> {
  return {
    dkimKeys: endpoint(routes.dkimKeys, deps, async ({ params, query }) => {
      const { pageSize, cursor } = query;
      return jsonResult(200, await listDkimKeys(secrets, { domain: params.domain, pageSize, cursor }));
    }),
    putDkimKey: endpoint(routes.putDkimKey, deps, async ({ params, query, event }) => {
      const pem = await readText(event, MAX_PEM_BYTES);
      const { algorithm } = query;
      const key = await putDkimKey({ secrets, dkim }, { ...params, pem, algorithm }, deps.clock.now());
      return jsonResult(200, key);
    }),
    removeDkimKey: endpoint(routes.removeDkimKey, deps, async ({ params }) =>
      jsonResult(200, await removeDkimKey(secrets, params)),
    ),
  };
}

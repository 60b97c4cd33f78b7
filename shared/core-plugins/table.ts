/** The core plugins that are modules, by the name that follows `core/`. Loaded only where they are enabled. */

export const CORE_MODULES: Readonly<Record<string, () => Promise<unknown>>> = {
  clamav: () => import("./clamav.ts"),
  rspamd: () => import("./rspamd.ts"),
  "image-hashes": () => import("./image-hashes.ts"),
  limiter: () => import("./limiter.ts"),
  "loop-breaker": () => import("./loop-breaker.ts"),
};

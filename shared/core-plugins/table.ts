/** The core plugins that are modules, by the name that follows `core/`. Loaded only where they are enabled. */

export const CORE_MODULES: Readonly<Record<string, () => Promise<unknown>>> = {
  "image-hashes": () => import("./image-hashes.ts"),
};

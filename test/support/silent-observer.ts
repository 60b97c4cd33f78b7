import { observers } from "#shared/app/observer.ts";

/** For who has to have an observer in a test that watches something else. */
export const silentObserver = observers();

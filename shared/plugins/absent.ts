/**
 * What ZoneMTA's `app` has and ours has not. To ask for it gives undefined, as for any other name, so that a plugin may look before it
 * leaps; and the log says once what there is instead, so that its author need not guess why something is undefined.
 */

const ABSENT: Readonly<Record<string, string>> = {
  db: "there is no database; app.count counts over all processes",
  mongodb: "there is no MongoDB",
  redis: "there is no Redis; app.count counts over all processes",
  getQueue: "the HTTP API shows and changes the queue",
  manager: "the HTTP API shows and changes the queue",
  gelf: "app.loggelf writes to the log, and log.gelf sends that",
};

/** Makes each of these a property of `app` that calls `onAsked` the first time. Not to be enumerated, so no copy asks for them. */
export function defineAbsent(app: object, onAsked: (name: string, instead: string) => void): void {
  const asked = new Set<string>();
  for (const [name, instead] of Object.entries(ABSENT)) {
    Object.defineProperty(app, name, {
      configurable: true,
      get() {
        if (!asked.has(name)) onAsked(name, instead);
        asked.add(name);
        return undefined;
      },
    });
  }
}

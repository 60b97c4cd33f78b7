/** The log as handlers know it: pino's on one machine, Powertools' in a Lambda (runtime.ts). */

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

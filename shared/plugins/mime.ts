/** All that needs mailsplit, in one place: what has plugins gets this, and nothing else imports it. */

export { parsedEnvelope } from "./addresses.ts";
export { pastPlugins } from "./body-stage.ts";
export { headersFrom, headersView } from "./headers.ts";

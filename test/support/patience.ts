/**
 * How long tests wait and how much they ask for. On a local AWS that is not ours to choose (`AWS_ENDPOINT_URL`) a call may take many
 * times as long as on the one that the tests start themselves, so there they wait longer for less. A longer wait costs a test that
 * passes nothing.
 */

const ELSEWHERE = process.env["AWS_ENDPOINT_URL"] ? 4 : 1;

/** A bounded wait, as long as it is with the servers that the tests start, and longer elsewhere. */
export function patient(ms: number): number {
  return ms * ELSEWHERE;
}

/** How many mails, clients or histories a test does with, where their number is not what it is about. */
export function fewer(count: number): number {
  return Math.ceil(count / ELSEWHERE);
}

/** For the `concurrency` of a suite whose tests only wait most of the time: all at once, or two where the server is slow. */
export const TOGETHER = ELSEWHERE === 1 ? true : 2;

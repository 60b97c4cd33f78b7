/**
 * The local AWS as a process of its own, for `npm run start:aws-local` and whoever else wants it to outlive nobody: it says in one
 * line of JSON what variables lead to it, and ends when its standard input does.
 */

import { once } from "node:events";

import { localAws } from "./local-aws.ts";

const alive = setInterval(() => undefined, 60_000); // the servers alone keep no process from ending
const aws = await localAws();
process.on("SIGINT", () => undefined); // Ctrl-C goes to all; whoever started us ends us last
process.stdout.write(`${JSON.stringify(aws.env)}\n`);
process.stdin.resume();
await once(process.stdin, "end");
await aws[Symbol.asyncDispose]();
clearInterval(alive);

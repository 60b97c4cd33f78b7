/**
 * `npm run bench -- relay`, `cost`, `rest` or `rates`, with options: the numbers in the README come from here. Those of relay
 * are ratios within one run, not promises.
 */

import { cpus, release, totalmem } from "node:os";
import { parseArgs } from "node:util";

import { parseThrottle } from "#shared/domain/throttle.ts";
import { usageMistake } from "../cli/command.ts";
import { measureCost, noCost } from "./cost.ts";
import { numberOf, numbersOf } from "./options.ts";
import { measureRates } from "./rates.ts";
import { costAtRest } from "./rest.ts";
import { measureRelay } from "./relay.ts";
import type { Measure } from "./relay.ts";
import type { SystemName } from "./systems.ts";

const USAGE = `npm run bench -- relay [options]
  --vs postfix       measure Postfix (Debian package, as root) in turn with it and print the ratio
  --size 5,50        sizes of the mails in KiB
  --messages 10000   mails in each run
  --rounds 3         runs of each system and size; the median is printed
  --processes 2      processes of ZoneFleet
  --sessions 20      connections that hand in mail
  --connections 20   connections to the receiver
  --no-reuse         a connection for each mail handed in

npm run bench -- cost [options]
  --size 10          size of the mails in KiB
  --messages 1000    mails by each front door
  --processes 2      sender processes
  --sessions 100     connections or requests at once that hand in mail: calls to AWS are shared under load

npm run bench -- rest    what a deployment costs in a month without mail: of zonefleet.deployment.ts, else of the example in docs/aws

npm run bench -- rates [options]
  --throttling 20/second   as in the configuration
  --of zone                zone, domain or site
  --on machine             or aws: local servers that stand in for it, each process a sender of its own
  --processes 1            sender processes
  --delay 0                the receiver answers each command so many ms later
  --seconds 60             how long it is watched
`;

async function main(): Promise<number> {
  switch (process.argv[2]) {
    case "relay":
      return benchRelay();
    case "cost":
      return benchCost();
    case "rest":
      return benchRest();
    case "rates":
      return benchRates();
    default:
      console.error(USAGE);
      return 1;
  }
}

async function benchRates(): Promise<number> {
  const { values } = parseArgs({
    allowPositionals: true,
    options: {
      throttling: { type: "string", default: "20/second" },
      of: { type: "string", default: "zone" },
      on: { type: "string", default: "machine" },
      processes: { type: "string", default: "1" },
      delay: { type: "string", default: "0" },
      seconds: { type: "string", default: "60" },
    },
  });
  const of = (["zone", "domain", "site"] as const).find((each) => each === values.of);
  const on = (["machine", "aws"] as const).find((each) => each === values.on);
  if (of === undefined || on === undefined || parseThrottle(values.throttling) === null) {
    console.error(USAGE);
    return 1;
  }
  const { usedPercent, limit, mostBegun, mostWhole, tooMany } = await measureRates({
    throttling: values.throttling,
    of,
    on,
    ...numbersOf(values, "processes", "seconds"),
    delayMs: values.delay === "0" ? 0 : numberOf(values.delay, "delay"),
  });
  console.log(
    `${values.throttling} of a ${of} on ${on === "aws" ? "AWS" : "one machine"}, ${values.processes} process(es), replies after ${values.delay} ms: ` +
      `${usedPercent.toFixed(1)} % of the rate in ${values.seconds} s; ` +
      `most in a period, of ${limit}: ${mostBegun} begun, ${mostWhole} whole (${tooMany} too many in all)`,
  );
  return 0;
}

async function benchRest(): Promise<number> {
  const { lines, date, region } = await costAtRest();
  for (const { what, count, dollars } of lines)
    console.log(
      `${what.padEnd(32)}${Math.round(count).toLocaleString("en").padStart(11)}${dollars.toFixed(2).padStart(9)}`,
    );
  const sum = lines.reduce((total, { dollars }) => total + dollars, 0);
  console.log(
    `${"US$ in a month".padEnd(43)}${sum.toFixed(2).padStart(9)}   at list prices of ${date}, ${region}`,
  );
  return 0;
}

async function benchCost(): Promise<number> {
  const { values } = parseArgs({
    allowPositionals: true,
    options: {
      size: { type: "string", default: "10" },
      messages: { type: "string", default: "1000" },
      processes: { type: "string", default: "2" },
      sessions: { type: "string", default: "100" },
    },
  });
  const missing = noCost();
  if (missing !== false) {
    console.error(missing);
    return 1;
  }
  const options = {
    bytes: numberOf(values.size, "size") * 1_024,
    ...numbersOf(values, "messages", "processes", "sessions"),
  };
  await measureCost(options, (line) => console.log(line));
  return 0;
}

async function benchRelay(): Promise<number> {
  const { values } = parseArgs({
    allowPositionals: true,
    allowNegative: true,
    options: {
      vs: { type: "string" },
      size: { type: "string", default: "5,50" },
      messages: { type: "string", default: "10000" },
      rounds: { type: "string", default: "3" },
      processes: { type: "string", default: "2" },
      sessions: { type: "string", default: "20" },
      connections: { type: "string", default: "20" },
      reuse: { type: "boolean", default: true },
    },
  });
  if (values.vs !== undefined && values.vs !== "postfix") {
    console.error(USAGE);
    return 1;
  }
  const systems: SystemName[] = values.vs === undefined ? ["zonefleet"] : ["zonefleet", "postfix"];
  const options = {
    systems,
    sizesKib: values.size.split(",").map((size) => numberOf(size, "size")),
    reuse: values.reuse,
    ...numbersOf(values, "messages", "rounds", "processes", "sessions", "connections"),
  };
  console.log(
    `${cpus().length} x ${cpus()[0]?.model ?? "?"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}`,
  );
  console.log(`settings: ${JSON.stringify(options)}`);
  const measures = await measureRelay(options, (line) => console.log(line));
  printMedians(measures, systems, options.sizesKib);
  return 0;
}

function printMedians(
  measures: readonly Measure[],
  systems: readonly SystemName[],
  sizes: readonly number[],
): void {
  console.log("\nmedians");
  for (const size of sizes) {
    const rows = systems.map((system) => {
      const of = measures.filter((measure) => measure.system === system && measure.sizeKib === size);
      const row = {
        system,
        rate: median(of.map((measure) => measure.perSecond)),
        cpu: median(of.map((measure) => measure.cpuPerThousand)),
        resident: median(of.map((measure) => measure.residentMib)),
      };
      console.log(
        `  ${String(size).padStart(3)} KiB  ${system.padEnd(9)}  ${row.rate.toFixed(0).padStart(6)} mails/s  ` +
          `${row.cpu.toFixed(2)} CPU s per 1,000  ${row.resident.toFixed(0)} MiB`,
      );
      return row;
    });
    const [ours, theirs] = rows;
    if (!ours || !theirs) continue;
    console.log(
      `  ${String(size).padStart(3)} KiB  ratio      ${(ours.rate / theirs.rate).toFixed(2)} x the rate at ` +
        `${(ours.cpu / theirs.cpu).toFixed(2)} x the CPU\n`,
    );
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

function explain(error: unknown): number {
  const mistake = usageMistake(error);
  if (mistake === null) throw error;
  console.error(`${mistake}\n\n${USAGE}`);
  return 1;
}

process.exitCode = await main().catch(explain);

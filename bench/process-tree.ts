/** CPU time and memory of a process and all below it, as the kernel counts them (Linux: /proc). */

import { readdirSync, readFileSync } from "node:fs";

export interface Usage {
  /** User and system seconds, with those of children that have ended. */
  readonly cpuSeconds: number;
  /** Resident bytes now, pages that processes share counted once (the kernel's PSS). */
  readonly residentBytes: number;
  readonly processes: number;
}

/** Clock ticks of /proc/<pid>/stat: USER_HZ, 100 on every Linux there is. */
const TICKS_PER_SECOND = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

export function usageOf(root: number): Usage {
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (statOf(name) ?? []) : []));
  const tree = new Set([root]);
  for (let grown = true; grown;) {
    grown = false;
    for (const { pid, parent } of all) {
      if (!tree.has(parent) || tree.has(pid)) continue;
      tree.add(pid);
      grown = true;
    }
  }
  const members = all.filter(({ pid }) => tree.has(pid));
  return {
    cpuSeconds: members.reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_SECOND,
    residentBytes: members.reduce((sum, { pid }) => sum + residentOf(pid), 0),
    processes: members.length,
  };
}

/** Null: it ended while we looked. */
function statOf(pid: string): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number); // the name may hold blanks
    const [, parent = 0] = fields;
    const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + (fields[at] ?? 0), 0); // utime stime cutime cstime
    return { pid: Number(pid), parent, ticks };
  } catch {
    return null;
  }
}

/** 0: it ended, or is not ours to look into. */
function residentOf(pid: number): number {
  try {
    const kib = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1];
    return Number(kib ?? 0) * 1_024;
  } catch {
    return 0;
  }
}

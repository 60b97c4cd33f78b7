/** What docs/monitoring.md hands out for Prometheus and Grafana looks at metrics, labels and values that a sender has. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { INSTALLATION_TAG } from "#shared/aws/host-terms.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { createMetrics } from "#shared/runtime/metrics.ts";
import { zoneA } from "./support/builders.ts";
import { pythonLacks, runPython } from "./support/python.ts";

const docs = join(fileURLToPath(new URL("..", import.meta.url)), "docs");
const FILES = ["prometheus.yml", "prometheus-alerts.yml", "grafana-dashboard.json"] as const;
/** What Prometheus puts on a metric, or our scrape configuration does. */
const SCRAPE_LABELS = ["installation", "instance", "job"];

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}
interface Target {
  readonly expr: string;
  readonly datasource: { readonly uid: string };
}
interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}

const files = new Map<string, string>();
/** An answer to a scrape. */
let scraped: string;
before(async () => {
  for (const name of FILES) files.set(name, await readFile(join(docs, name), "utf8"));
  const metrics = createMetrics({
    zones: [zoneA],
    readStore: async () => ({ queued: 1, deferred: 2, blacklisted: 3, slowed: 4 }),
    totals: async () => null,
    onError: (error) => assert.fail(String(error)),
  });
  metrics.acceptSeconds.observe(1);
  metrics.deliverySeconds.observe(1);
  metrics.transactionSeconds.observe(1);
  scraped = await metrics.text();
});

const textOf = (name: (typeof FILES)[number]): string => files.get(name) ?? "";

/** Series of the scrape: names, and how they are labelled. */
function series(): { name: string; labels: string }[] {
  const lines = scraped.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const [, name = "", labels = ""] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? [];
    return { name, labels };
  });
}

function dashboard() {
  return JSON.parse(textOf("grafana-dashboard.json")) as {
    schemaVersion: number;
    panels: Panel[];
    templating: { list: { name: string; type: string }[] };
  };
}

describe("every metric that is looked at", () => {
  const looksAtMetrics = FILES.filter((name) => name !== "prometheus.yml");
  for (const file of looksAtMetrics) {
    test(`by ${file} is one that a sender has`, () => {
      const known = new Set(series().map(({ name }) => name));
      const named = textOf(file).match(/(?<![a-z_])zonefleet_[a-z_]+/g) ?? [];
      assert.ok(new Set(named).size >= 6);
      for (const name of named) assert.ok(known.has(name), name);
    });

    test(`by ${file} has the labels and values that are asked for`, () => {
      const text = textOf(file).replaceAll('\\"', '"');
      const selectors = [...text.matchAll(/(?<![a-z_])(zonefleet_[a-z_]+)\{([^}]*)\}/g)];
      assert.ok(selectors.length > 0);
      for (const [, name, matchers = ""] of selectors) {
        const labels = series().flatMap((one) => (one.name === name ? [one.labels] : []));
        for (const [, label = "", op, value = ""] of matchers.matchAll(/(\w+)(=~|=)"([^"]*)"/g)) {
          if (SCRAPE_LABELS.includes(label)) continue;
          for (const wanted of op === "=~" ? value.split("|") : [value])
            assert.ok(
              labels.some((found) => found.includes(`${label}="${wanted}"`)),
              `${name} with ${label} ${wanted}`,
            );
        }
      }
    });
  }

  test("comes to be looked at somewhere, so that no metric is for nobody", () => {
    const all = looksAtMetrics.map(textOf).join("\n");
    const names = [...scraped.matchAll(/^# TYPE (\S+)/gm)].map(([, name = ""]) => name);
    for (const name of names) assert.ok(all.includes(name), name);
  });
});

describe("the Grafana dashboard", () => {
  test("can be imported: it names its data source by a variable, and every panel has a place of its own", () => {
    const { schemaVersion, panels, templating } = dashboard();
    assert.ok(schemaVersion >= 36);
    assert.deepEqual(
      templating.list.map(({ name, type }) => [name, type]),
      [
        ["datasource", "datasource"],
        ["installation", "query"],
      ],
    );
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const targets = panels.flatMap((panel) => panel.targets ?? []);
    for (const { datasource } of targets) assert.equal(datasource.uid, "${datasource}");
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.trunc(i / w)}`),
    );
    assert.equal(new Set(cells).size, cells.length, "panels do not overlap");
  });
});

describe("the files for Prometheus", { skip: pythonLacks("yaml") }, () => {
  let config: {
    rule_files: string[];
    scrape_configs: {
      job_name: string;
      static_configs?: { targets: string[] }[];
      ec2_sd_configs?: { port: number; filters: { name: string; values: string[] }[] }[];
    }[];
  };
  let rules: Rule[];
  before(() => {
    const texts = ["prometheus.yml", "prometheus-alerts.yml"] as const;
    const [read, alerts] = runPython("read-yaml.py", texts.map(textOf)) as [
      typeof config,
      { groups: { rules: Rule[] }[] },
    ];
    config = read;
    rules = alerts.groups.flatMap((group) => group.rules);
  });

  test("scrape the port of the API, and hosts by the tag that the stacks give them", () => {
    const { api } = parseConfig({ hostname: "mail.example" }, { source: null, baseDir: "/" });
    const [one, aws] = config.scrape_configs;
    assert.deepEqual(config.rule_files, ["prometheus-alerts.yml"]);
    assert.deepEqual(one?.static_configs?.[0]?.targets, [`127.0.0.1:${api.port}`]);
    const hosts = aws?.ec2_sd_configs?.[0];
    assert.equal(hosts?.port, api.port);
    assert.deepEqual(hosts?.filters[0], { name: "tag-key", values: [INSTALLATION_TAG] });
  });

  test("have alerts that say what is wrong and what to do, under a heading that is there", async () => {
    const page = await readFile(join(docs, "monitoring.md"), "utf8");
    assert.ok(rules.length >= 8);
    assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
    for (const { alert, expr, labels, annotations } of rules) {
      assert.match(labels.severity, /^(page|ticket)$/, alert);
      assert.ok(expr && annotations.summary && annotations.description, alert);
      const [, heading] = /monitoring\.md, ([a-z ]+)\.$/.exec(annotations.description) ?? [];
      assert.ok(
        heading !== undefined || labels.severity === "ticket",
        `${alert} pages, and names no heading`,
      );
      if (heading === undefined) continue;
      const written = `### ${heading.slice(0, 1).toUpperCase()}${heading.slice(1)}\n`;
      assert.ok(page.includes(written), `${alert}: ${heading}`);
    }
  });
});

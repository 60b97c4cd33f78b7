/** Sums over processes that come and go, and answers to a scrape. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { ZoneName } from "#shared/domain/zone.ts";
import type { Metrics, MetricsDeps } from "#shared/runtime/metrics.ts";
import { createMetrics, metricTotals } from "#shared/runtime/metrics.ts";

const zone = "default" as ZoneName;

function metrics(deps: Partial<MetricsDeps> = {}): Metrics {
  return createMetrics({
    zones: [zone],
    readStore: () => Promise.resolve({ queued: 5, deferred: 6, blacklisted: 7, slowed: 8 }),
    totals: () => Promise.resolve(null),
    onError: (error) => assert.fail(String(error)),
    ...deps,
  });
}

/** As a snapshot comes over the wire between processes. */
async function sent(of: Metrics) {
  return structuredClone(await of.snapshot());
}

function valueOf(text: string, sample: string): number | null {
  const line = text.split("\n").find((line) => line.startsWith(`${sample} `));
  return line === undefined ? null : Number(line.slice(sample.length));
}

test("a scrape has every documented name from the start", async () => {
  const text = await metrics().text();
  for (const name of [
    'delivery_status{status="delivered",zone="default"}',
    'delivery_status{status="rejected",zone="default"}',
    'delivery_status{status="deferred",zone="default"}',
    'message_push{result="success"}',
    'message_push{result="fail"}',
    "message_drop",
    'slowdowns{zone="default"}',
    "bounce_generation",
    "connection_reuses",
    "connection_pool_size",
    "accept_seconds_count",
    "delivery_seconds_count",
    "transaction_seconds_count",
  ]) {
    assert.equal(valueOf(text, `zonefleet_${name}`), 0, name);
  }
  assert.equal(valueOf(text, 'zonefleet_queue_size{type="queued"}'), 5);
  assert.equal(valueOf(text, 'zonefleet_queue_size{type="deferred"}'), 6);
  assert.equal(valueOf(text, "zonefleet_blacklisted"), 7);
  assert.equal(valueOf(text, "zonefleet_slowed"), 8);
});

test("counters, histograms and pool sizes are summed over processes, and a new snapshot replaces the old", async () => {
  const totals = metricTotals();
  const [one, two] = [metrics(), metrics()];
  one.deliveryStatus.inc({ status: "delivered", zone }, 3);
  totals.report("one", await sent(one));
  one.deliveryStatus.inc({ status: "delivered", zone }, 1);
  one.acceptSeconds.observe(0.002);
  one.connectionPoolSize.set(4);
  two.deliveryStatus.inc({ status: "delivered", zone }, 10);
  two.acceptSeconds.observe(40);
  two.connectionPoolSize.set(2);
  totals.report("one", await sent(one));
  totals.report("two", await sent(two));
  const text = await totals.text();
  assert.equal(valueOf(text, 'zonefleet_delivery_status{status="delivered",zone="default"}'), 14);
  assert.equal(valueOf(text, 'zonefleet_accept_seconds_bucket{le="0.0025"}'), 1);
  assert.equal(valueOf(text, 'zonefleet_accept_seconds_bucket{le="+Inf"}'), 2);
  assert.equal(valueOf(text, "zonefleet_accept_seconds_sum"), 40.002);
  assert.equal(valueOf(text, "zonefleet_connection_pool_size"), 6);
});

test("what dead processes counted stays, once, and their gauges go", async () => {
  const totals = metricTotals();
  for (let i = 1; i <= 5; i++) {
    const dying = metrics();
    dying.messagePush.inc({ result: "success" }, i);
    dying.deliverySeconds.observe(i);
    dying.connectionPoolSize.set(9);
    totals.report(`worker ${i}`, await sent(dying));
    totals.bury(`worker ${i}`);
  }
  totals.bury("never heard of");
  const living = metrics();
  living.messagePush.inc({ result: "success" }, 100);
  living.connectionPoolSize.set(1);
  totals.report("living", await sent(living));
  const text = await totals.text();
  assert.equal(valueOf(text, 'zonefleet_message_push{result="success"}'), 115);
  assert.equal(valueOf(text, "zonefleet_delivery_seconds_count"), 5);
  assert.equal(valueOf(text, "zonefleet_delivery_seconds_sum"), 15);
  assert.equal(valueOf(text, "zonefleet_connection_pool_size"), 1);
});

test("a process that is buried while a scrape is answered is counted once", async () => {
  const totals = metricTotals();
  const dying = metrics();
  dying.messageDrop.inc(5);
  totals.report("dying", await sent(dying));
  const before = totals.text();
  totals.bury("dying");
  const after = totals.text();
  assert.equal(valueOf(await before, "zonefleet_message_drop"), 5);
  assert.equal(valueOf(await after, "zonefleet_message_drop"), 5);
});

test("a scrape gives the totals with what is in the store read once, not summed", async () => {
  const totals = metricTotals();
  const [one, two] = [metrics({ totals: () => totals.text() }), metrics({ totals: () => totals.text() })];
  one.messagePush.inc({ result: "fail" }, 1);
  two.messagePush.inc({ result: "fail" }, 2);
  totals.report("one", await sent(one));
  totals.report("two", await sent(two));
  const text = await two.text();
  assert.equal(valueOf(text, 'zonefleet_message_push{result="fail"}'), 3);
  assert.equal(valueOf(text, 'zonefleet_queue_size{type="queued"}'), 5);
  const names = text.split("\n").filter((line) => line.startsWith("# TYPE"));
  assert.equal(new Set(names).size, names.length, "no metric is there twice");
});

test("without totals a process answers for itself, and without the store it answers what it can", async () => {
  const down = new Error("the store is down");
  const errors: unknown[] = [];
  const alone = metrics({ readStore: () => Promise.reject(down), onError: (error) => errors.push(error) });
  alone.messageDrop.inc(2);
  const text = await alone.text();
  assert.equal(valueOf(text, "zonefleet_message_drop"), 2);
  assert.equal(valueOf(text, "zonefleet_blacklisted"), null);
  assert.deepEqual(errors, [down]);
});

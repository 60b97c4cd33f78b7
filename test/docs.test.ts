/**
 * What docs/coming-from-zonemta.md promises: no key, route or hook of ZoneMTA is passed over, each row names a test that is there, and
 * one that names none says why there is nothing to test.
 */

import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** ZoneMTA 3.10's configuration: its own defaults, and what its documents and code read besides. */
const KEYS = `user group name ident dbs queue.instanceId queue.gfs queue.collection queue.disableGC queue.defaultZone queue.maxQueueTime
  queue.deferTimes queue.logQueuePolling core/default-headers core/http-auth core/http-config core/api-send core/clamav core/rspamd core/srs
  core/email-bounce core/http-bounce core/image-hashes core/dkim core/delivery-loop zonemta-loop-breaker zonemta-limiter
  smtpInterfaces enabled host port processes maxSize maxRecipients authentication useProxy disableVersionString logger starttls secure
  key cert ca hostname banner authMethods authOptional allowInsecureAuth disabledCommands hideSTARTTLS hidePIPELINING hide8BITMIME
  hideSMTPUTF8 hideSize disableReverseLookup sniOptions ciphers minVersion dhparam secureProtocol secureOptions maxClients useXClient
  useXForward lmtp secured socketTimeout closeTimeout dns.caching dns.cacheTTL dns.nameservers dns.blockLocalAddresses preferIPv6
  ignoreIPv6 dns.blockDomains mtaSts.enabled api.host api.maildrop api.user queueServer log.level log.queue log.remote log.gelf
  dkim.enabled dkim.hashAlgo uploads.userAgent pools zones connections pool interface poolHash auth authMethod ignoreTLS requireTLS
  throttling connectionCache senderDomains recipientDomains routingHeaders originAddresses disabled logLevel resolveIp debug
  blacklist.ttl domainConfig maxConnections disabledAddresses dnsOptions bouncesFile pluginsPath corePluginsPath
  allowRoutingHeaders addMissing futureDate xOriginatingIP maxHops mailerDaemon disableInterfaces sendingZone delayEmail zoneConfig`;

const ROUTES = `/test-auth /report-bounce /bounces /send /send-raw /store /zones /counter /queued /fetch /message /blacklist /skipdomains
  /internals /internals/clear-counters /suppressionlist /metrics /plugin /healthz`;

const HOOKS = `smtp:init smtp:sni smtp:connect smtp:auth smtp:mail_from smtp:rcpt_to smtp:data api:mail message:headers message:store
  message:queue queue:route queue:bounce queue:delayed queue:release sender:fetch sender:connecting sender:connected sender:tlserror
  sender:connect sender:connection sender:headers sender:delivered sender:responseError log:entry`;

const words = (list: string): string[] => list.trim().split(/\s+/);

let page: string;
let plugins: string;
before(async () => {
  page = await readFile(join(root, "docs/coming-from-zonemta.md"), "utf8");
  plugins = await readFile(join(root, "docs/plugins.md"), "utf8");
});

/** The rows of tables that have three columns: what ZoneMTA does, what is here, and what shows it. */
function rows(): { here: string; shownBy: string }[] {
  return page.split("\n").flatMap((line) => {
    const [, theirs, here, shownBy, end] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    if (end !== "" || theirs === "ZoneMTA" || /^-+$/.test(theirs ?? "")) return [];
    return [{ here: here ?? "", shownBy: shownBy ?? "" }];
  });
}

describe("docs/coming-from-zonemta.md", () => {
  test("passes over no key, route or hook", () => {
    const isThere = (name: string): boolean => page.includes(name.split(".").at(-1) as string);
    assert.deepEqual(
      words(KEYS).filter((key) => !isThere(key)),
      [],
    );
    assert.deepEqual(
      words(ROUTES).filter((route) => !page.includes(route)),
      [],
    );
    assert.deepEqual(
      words(HOOKS).filter((hook) => !page.includes(hook) && !plugins.includes(`\`${hook}\``)),
      [],
    );
  });

  test("names tests that are there", async () => {
    const named = [...page.matchAll(/`((?:unit|e2e|faults|contract|property|fuzz|infra)\/[^`]+)`/g)];
    const files = [...new Set(named.map(([, file]) => file as string))];
    assert.ok(files.length > 80, `only ${files.length}`);
    for (const file of files) assert.ok((await stat(join(root, "test", file))).isFile(), file);
  });

  test("has a test or a reason in each row", () => {
    const all = rows();
    assert.ok(all.length > 150, `only ${all.length}`);
    for (const { here, shownBy } of all) {
      assert.doesNotMatch(here, /not yet/i);
      if (shownBy === "") assert.ok(here.length > 30, `neither a test nor a reason: ${here}`);
    }
  });
});

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";

import { apiKeyRing } from "#shared/app/api-keys.ts";
import type { Terminal } from "../../../cli/command.ts";
import { run } from "../../../cli/main.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";

function setUp(password: string | null = "secret", input = "") {
  const out: string[] = [];
  const err: string[] = [];
  const terminal: Terminal = {
    secrets: memorySecrets(),
    print: (line) => out.push(line),
    complain: (line) => err.push(line),
    readSecret: () => Promise.resolve(password),
    readInput: () => Promise.resolve(input),
    deployment: () => assert.fail("no command of these tests looks at the deployment"),
    site: () => assert.fail("no command of these tests looks at the installation"),
    bounceRules: () => Promise.resolve([]),
    env: () => undefined,
    environment: {},
    confirm: () => Promise.resolve(null),
    readText: () => assert.fail("no command of these tests reads a file"),
    write: () => assert.fail("no command of these tests writes bytes"),
  };
  const zonefleet = (command: string) => run(command === "" ? [] : command.split(" "), terminal);
  return { zonefleet, out, err, secrets: terminal.secrets };
}

describe("zonefleet api-key", () => {
  test("add prints the key alone on standard output, and the key opens", async () => {
    const { zonefleet, out, secrets } = setUp();
    assert.equal(await zonefleet("api-key add --scope send,read --label shop"), 0);
    assert.equal(out.length, 1);
    const key = await apiKeyRing({ secrets, clock: systemClock }).verify(out[0] as string);
    assert.deepEqual([key?.scopes, key?.label], [["send", "read"], "shop"]);
  });

  test("list shows ids, scopes and labels and no secret; remove takes the id or the whole key", async () => {
    const { zonefleet, out } = setUp();
    await zonefleet("api-key add --scope send --scope admin --label shop");
    await zonefleet("api-key list");
    const key = out[0] as string;
    assert.match(out[1] ?? "", new RegExp(`^${key.split(".")[0]}\tsend,admin\t20.*Z\tshop$`));
    assert.equal(await zonefleet(`api-key remove ${key}`), 0);
    assert.equal(await zonefleet(`api-key remove ${key}`), 1);
  });
});

describe("a list in which nothing is", () => {
  for (const command of ["api-key list", "account list"]) {
    test(`${command} says so, beside an output that stays empty`, async () => {
      const { zonefleet, out, err } = setUp();
      assert.equal(await zonefleet(command), 0);
      assert.deepEqual([out, err.length], [[], 1]);
      assert.match(err[0] ?? "", /^There is no (API key|account)/);
    });
  }
});

describe("zonefleet account", () => {
  test("add stores a hash, never the password; a second add changes it", async () => {
    const { zonefleet, out, secrets } = setUp("hunter2");
    assert.equal(await zonefleet("account add anna"), 0);
    const first = await secrets.get("account", "anna");
    assert.ok(first && !first.includes("hunter2"));
    assert.equal(await zonefleet("account add anna"), 0);
    assert.notEqual(await secrets.get("account", "anna"), first);
    assert.match(out.join("\n"), /made.*\n.*changed/);
    await zonefleet("account list");
    assert.equal(out.at(-1), "anna");
  });

  test("add --from limits whom the account's mail may come from, until another --from", async () => {
    const { zonefleet, out } = setUp();
    await zonefleet("account add anna --from One.example,ben@two.example --from münchen.example");
    await zonefleet("account add anna");
    await zonefleet("account list");
    assert.equal(out.at(-1), "anna\tone.example,ben@two.example,xn--mnchen-3ya.example");
    await zonefleet("account add anna --from three.example");
    await zonefleet("account list");
    assert.equal(out.at(-1), "anna\tthree.example");
  });

  test("add --from what is neither a domain nor an address makes no account", async () => {
    for (const sender of ["one..example", "a@", "@one.example", "one.example,"]) {
      const { zonefleet, err, secrets } = setUp();
      assert.equal(await zonefleet(`account add anna --from ${sender}`), 1, sender);
      assert.match(err[0] ?? "", /neither a domain .* nor an address/);
      assert.deepEqual(await secrets.list("account"), []);
    }
  });

  test("without a password there is no account", async () => {
    const { zonefleet, err, secrets } = setUp(null);
    assert.equal(await zonefleet("account add anna"), 2);
    assert.match(err[0] ?? "", /no password/);
    assert.deepEqual(await secrets.list("account"), []);
  });

  test("remove says when there is none", async () => {
    const { zonefleet, err } = setUp();
    await zonefleet("account add anna");
    assert.equal(await zonefleet("account remove anna"), 0);
    assert.equal(await zonefleet("account remove anna"), 1);
    assert.match(err[0] ?? "", /there is no account "anna"/);
  });
});

describe("zonefleet check-bounce", () => {
  const reply = "550-5.1.1 The mailbox\r\n550 5.1.1 is unknown.";

  test("prints a line for each thing that ZoneMTA's tool tells, and the rule", async () => {
    const { zonefleet, out } = setUp(null, "550-5.1.1 No such user\n550 5.1.1 here.\n");
    assert.equal(await zonefleet("check-bounce"), 0);
    assert.deepEqual(out, [
      "data     : 550-5.1.1 No such user\n           550 5.1.1 here.",
      "action   : reject",
      "message  : The recipient's address does not exist.",
      "category : recipient",
      "code     : 550",
      "status   : 5.1.1",
      "rule     : no-such-recipient",
    ]);
  });

  test("prints one object with --json", async () => {
    const { zonefleet, out } = setUp(null, reply);
    assert.equal(await zonefleet("check-bounce --json"), 0);
    assert.equal(out.length, 1);
    const { data, action, status } = JSON.parse(out[0] as string) as Record<string, unknown>;
    assert.deepEqual([data, action, status], [reply, "reject", "5.1.1"]);
  });

  test("wants a reply", async () => {
    const { zonefleet, err } = setUp(null, " \n");
    assert.equal(await zonefleet("check-bounce"), 2);
    assert.match(err[0] ?? "", /no reply on standard input/);
  });
});

describe("a command that is not written as it should be", () => {
  for (const command of [
    "",
    "account",
    "account ad anna",
    "account add",
    "account add anna ben",
    "account list anna",
    "account add --user anna",
    "account list --from one.example",
    "api-key",
    "api-key list x",
    "api-key remove",
    "api-key list --scope send",
    "api-key add --scop send",
    "api-key add send",
    "check-bounce 550",
    "check-bounce --jsn",
    "queue",
    "queue eat --all",
    "queue list x",
    "queue show",
    "queue drop",
    "queue drop a b c",
    "queue drop a --domain b.example",
    "queue drop --state held",
    "queue list --limit 0",
    "queue list --all",
    "queue list --url nonsense",
    "suppress",
    "suppress add",
    "suppress constructor",
    "queue constructor --all",
    "dkim constructor a b",
    "suppress add a@b.example --limit 5",
    "suppress remove 7 --user anna",
    "suppress export --format xml",
    "suppress list x",
    "zones x",
    "status --jsn",
  ]) {
    test(`${JSON.stringify(command)} ends with 2 and the usage`, async () => {
      const { zonefleet, out, err } = setUp();
      assert.equal(await zonefleet(command), 2);
      assert.match(
        [...out, ...err].join("\n"),
        /zonefleet (account|api-key|check-bounce|dkim|queue|suppress|zones|status)/,
      );
    });
  }

  test("a command that there is not ends with 2, and with the names of those there are", async () => {
    for (const [command, hint] of [
      ["acount list", '"acount"; did you mean account?'],
      ["__proto__ list", '"__proto__"'],
      ["--nonsense", '"--nonsense"'],
    ] as const) {
      const { zonefleet, err } = setUp();
      assert.equal(await zonefleet(command), 2);
      assert.ok(err[0]?.startsWith(`zonefleet: there is no command ${hint}\n`), err[0]);
      assert.match(err[0] ?? "", /queue, suppress, .*systemd\..*zonefleet <command> --help/s);
    }
  });

  test("an option that there is not is named, and nothing is said of words that begin with a hyphen", async () => {
    const { zonefleet, err } = setUp();
    assert.equal(await zonefleet("zones --jsn"), 2);
    assert.match(err[0] ?? "", /^zonefleet: Unknown option '--jsn'\n\nUsage:\n {2}zonefleet zones/);
  });

  test("a scope that is none ends with 1 and names those there are", async () => {
    const { zonefleet, err } = setUp();
    assert.equal(await zonefleet("api-key add --scope root"), 1);
    assert.match(err[0] ?? "", /root is no scope: .*send, read, admin/);
    assert.equal(await zonefleet("api-key add"), 1);
  });

  test("help is no mistake, and says of a command what it works on and nothing of others", async () => {
    for (const [command, worksOn] of [
      ["help", /^queue, suppress, dkim, zones, status: .*ZONEFLEET_URL/m],
      ["--help", /^account, api-key: .*ZONEFLEET_DATA/m],
      ["account --help", /\n\nIt works on the data folder \(\.\/data, or ZONEFLEET_DATA\).*\.$/],
      ["zones --help", /\n\nIt asks the HTTP API at --url <url> .*ZONEFLEET_API_KEY\)\.$/s],
      ["systemd --help", /in this folder$/],
    ] as const) {
      const { zonefleet, out } = setUp();
      assert.equal(await zonefleet(command), 0);
      assert.match(out.join("\n"), worksOn);
    }
  });

  test("--version prints the version alone", async () => {
    const { zonefleet, out } = setUp();
    assert.equal(await zonefleet("--version"), 0);
    assert.match(out.join("\n"), /^\d+\.\d+\.\d+$/);
  });
});

test("the real command reads the password from standard input and keeps it in the data folder, for its owner alone", async () => {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-cli-"));
  try {
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, "../../../cli/main.ts"), "account", "add", "anna"],
      {
        env: { ...process.env, ZONEFLEET_DATA: folder },
        stdio: ["pipe", "pipe", "pipe"],
      },
    );
    child.stdin.end("hunter2\n");
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
    assert.deepEqual([out, code], ["Account anna made.\n", 0]);
    const file = join(folder, "secrets", "account", "anna");
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.doesNotMatch(await readFile(file, "utf8"), /hunter2/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("the real check-bounce reads standard input and asks the rules of a file first", async () => {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-cli-"));
  try {
    const rules = join(folder, "own.txt");
    await writeFile(rules, "no such user,defer,policy,They will come back\n");
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, "../../../cli/main.ts"), "check-bounce", "--json", "--rules", rules],
      { cwd: folder, stdio: ["pipe", "pipe", "inherit"] },
    );
    child.stdin.end("550 5.1.1 No such user\r\n");
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
    assert.equal(code, 0);
    const { action, rule, message } = JSON.parse(out) as Record<string, unknown>;
    assert.deepEqual([action, rule, message], ["defer", "own.txt:1", "They will come back"]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("the real command says of a file that is not there that it is not", async () => {
  const main = join(import.meta.dirname, "../../../cli/main.ts");
  for (const [words, why] of [
    [["dkim", "add", "one.example", "s1", "gone.pem"], "no such file"],
    [["suppress", "import", import.meta.dirname], "it is a folder"],
    [["check-bounce", "--rules", "gone.txt"], "no such file"],
  ] as const) {
    const child = spawn(process.execPath, [main, ...words], { stdio: ["pipe", "ignore", "pipe"] });
    child.stdin.end("550 5.1.1 No such user\r\n");
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
    assert.equal(code, 1);
    assert.match(said, new RegExp(`^zonefleet: (.*: )?cannot read /[^ ]*: ${why}\n$`));
  }
});

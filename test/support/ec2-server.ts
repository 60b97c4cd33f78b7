/**
 * EC2, Auto Scaling and the metadata of instances as far as ZoneFleet speaks to them, on free ports of 127.0.0.1: the query protocol
 * in XML and IMDSv2, with the rules of fake-ec2.ts behind them.
 */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

import type { FakeEc2, FakeHost } from "./fake-ec2.ts";

export interface Ec2Server extends AsyncDisposable {
  /** An instance of the group, with these private addresses besides its own. */
  addInstance(networkInterface: string, places: readonly string[]): Promise<Instance>;
  /** Actions in the order they came. */
  readonly calls: string[];
  /** So many of the next calls are refused, as too many. */
  throttled: number;
}

export interface Instance {
  readonly host: FakeHost;
  /** What a process on it needs to find all. */
  readonly env: Readonly<Record<string, string>>;
  /** Tokens that were given are good for nothing from now on. */
  forgetTokens(): void;
}

export interface Ec2ServerOptions {
  readonly fake: FakeEc2;
  readonly installation: string;
}

const OWN_ADDRESS = "10.25.0.5";
const MAC = "06:5f:00:00:00:01";

export async function startEc2Server({ fake, installation }: Ec2ServerOptions): Promise<Ec2Server> {
  const hosts = new Map<string, FakeHost>();
  const servers = new AsyncDisposableStack();
  const state: Ec2Server = {
    calls: [],
    throttled: 0,
    async addInstance(networkInterface, places) {
      const host = fake.host(networkInterface, places);
      hosts.set(networkInterface, host);
      const tokens = new Set<string>();
      const metadata = await serve(servers, metadataOf({ host, places, tokens }));
      return {
        host,
        env: {
          AWS_ENDPOINT_URL_EC2: api,
          AWS_ENDPOINT_URL_AUTO_SCALING: api,
          AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata,
          AWS_REGION: "us-east-1",
          AWS_ACCESS_KEY_ID: "test",
          AWS_SECRET_ACCESS_KEY: "test",
        },
        forgetTokens: () => tokens.clear(),
      };
    },
    [Symbol.asyncDispose]: () => servers.disposeAsync(),
  };
  const api = await serve(servers, async (request, response) => {
    const asked = new URLSearchParams(await text(request));
    const action = asked.get("Action") ?? "";
    state.calls.push(action);
    if (state.throttled > 0) {
      state.throttled--;
      return answer(response, 503, errorOf("RequestLimitExceeded"));
    }
    try {
      answer(response, 200, await resultOf(action, asked, { fake, installation, hosts }));
    } catch (error) {
      answer(response, 400, errorOf(error instanceof Error ? (error.message.split(":")[0] ?? "") : ""));
    }
  });
  return state;
}

async function serve(
  servers: AsyncDisposableStack,
  listener: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<string> {
  const onRequest: RequestListener = (request, response) => {
    void listener(request, response).catch(() => response.destroy());
  };
  const server = createServer(onRequest).listen(0, "127.0.0.1");
  await once(server, "listening");
  servers.defer(async () => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface World {
  readonly fake: FakeEc2;
  readonly installation: string;
  readonly hosts: ReadonlyMap<string, FakeHost>;
}

async function resultOf(action: string, asked: URLSearchParams, world: World): Promise<string> {
  const { hosts } = world;
  const field = (name: string): string => {
    const value = asked.get(name);
    if (value === null) throw new Error("MissingParameter");
    return value;
  };
  switch (action) {
    case "DescribeAddresses":
      return response(action, `<addressesSet>${(await addressItems(asked, world)).join("")}</addressesSet>`);
    case "AssociateAddress": {
      const host = hosts.get(field("NetworkInterfaceId"));
      if (!host) throw new Error("InvalidNetworkInterfaceID.NotFound");
      const all = await host.list();
      const isTaken = all.some(({ id, at }) => id === field("AllocationId") && at !== null);
      if (isTaken && asked.get("AllowReassociation") !== "true")
        throw new Error("Resource.AlreadyAssociated");
      await host.associate(field("AllocationId"), field("PrivateIpAddress"));
      return response(action, "<return>true</return><associationId>eipassoc-1</associationId>");
    }
    case "ModifyAddressAttribute":
      await anyOf(hosts).setReverseName(field("AllocationId"), field("DomainName"));
      return response(action, `<address><allocationId>${field("AllocationId")}</allocationId></address>`);
    case "CompleteLifecycleAction": {
      const terms = ["AutoScalingGroupName", "LifecycleHookName", "LifecycleActionResult"].map(field);
      if (terms.join(" ") !== `${world.installation} drain CONTINUE`) throw new Error("ValidationError");
      const host = hosts.get(field("InstanceId").replace(/^i-/, ""));
      if (!host) throw new Error("ValidationError");
      await host.ended();
      return response(action, `<${action}Result/>`);
    }
    default:
      throw new Error("InvalidAction");
  }
}

/** The account's, those of others among them, as far as the filter lets them through. */
async function addressItems(asked: URLSearchParams, { fake, installation, hosts }: World): Promise<string[]> {
  if (fake.outage) throw fake.outage;
  const ours = await anyOf(hosts).list();
  const tagged = ours.map((address) => ({
    ...address,
    tags: { "zonefleet:installation": installation, "zonefleet:name": address.name },
  }));
  const foreign = { id: "eipalloc-foreign", publicIp: "203.0.113.1", at: null };
  const all: { id: string; publicIp: string; at: (typeof ours)[0]["at"]; tags: Record<string, string> }[] = [
    ...tagged,
    { ...foreign, tags: { "zonefleet:installation": "another", "zonefleet:name": "m1.example" } },
    { ...foreign, id: "eipalloc-nameless", tags: { "zonefleet:installation": installation } },
    { ...foreign, id: "eipalloc-bare", tags: {} },
  ];
  const tag = asked.get("Filter.1.Name")?.replace(/^tag:/, "");
  const wanted = all.filter(({ tags }) => tag === undefined || tags[tag] === asked.get("Filter.1.Value.1"));
  return wanted.map(({ id, publicIp, at, tags }) => {
    const place = at
      ? `<networkInterfaceId>${at.networkInterface}</networkInterfaceId><privateIpAddress>${at.privateAddress}</privateIpAddress>`
      : "";
    const tagItems = Object.entries(tags).map(
      ([key, value]) => `<item><key>${key}</key><value>${value}</value></item>`,
    );
    return `<item><allocationId>${id}</allocationId><publicIp>${publicIp}</publicIp>${place}<tagSet>${tagItems.join("")}</tagSet></item>`;
  });
}

function anyOf(hosts: ReadonlyMap<string, FakeHost>): FakeHost {
  const [host] = hosts.values();
  if (!host) throw new Error("there are no hosts yet");
  return host;
}

function response(action: string, content: string): string {
  return `<${action}Response><requestId>r-1</requestId>${content}</${action}Response>`;
}

/** As EC2 says it; Auto Scaling has it in another wrapping, which the SDK reads as a failure all the same. */
function errorOf(code: string): string {
  return `<Response><Errors><Error><Code>${code}</Code><Message>${code}</Message></Error></Errors><RequestID>r-1</RequestID></Response>`;
}

function answer(to: ServerResponse, status: number, body: string): void {
  to.writeHead(status, { "content-type": "text/xml" });
  to.end(body);
}

interface Metadata {
  readonly host: FakeHost;
  readonly places: readonly string[];
  readonly tokens: Set<string>;
}

/** IMDSv2: nothing without a token. */
function metadataOf({ host, places, tokens }: Metadata) {
  return async (request: IncomingMessage, to: ServerResponse): Promise<void> => {
    const { method, url = "", headers } = request;
    if (method === "PUT" && url === "/latest/api/token" && headers["x-aws-ec2-metadata-token-ttl-seconds"]) {
      const token = randomBytes(8).toString("hex");
      tokens.add(token);
      return void to.end(token);
    }
    if (!tokens.has(String(headers["x-aws-ec2-metadata-token"]))) return void to.writeHead(401).end();
    const { instance, networkInterface } = await host.host();
    const state = (await host.isEnding()) ? "Terminated" : "InService";
    const known: Readonly<Record<string, string>> = {
      "instance-id": instance,
      mac: MAC,
      "local-ipv4": OWN_ADDRESS,
      [`network/interfaces/macs/${MAC}/interface-id`]: networkInterface,
      [`network/interfaces/macs/${MAC}/local-ipv4s`]: [OWN_ADDRESS, ...places].join("\n"),
      "autoscaling/target-lifecycle-state": state,
    };
    const found = known[url.replace("/latest/meta-data/", "")];
    if (found === undefined) to.writeHead(404).end("not found");
    else to.end(found);
  };
}

/** Every hook as an author in TypeScript takes it, by promise and by `next`: what is written here has to pass the type checker. */

import type { PluginApp } from "../../../shared/plugins/app.ts";

export const title = "Every hook";

export async function init(app: PluginApp): Promise<void> {
  const seen = new Set<string>();
  const saw = (name: string): void => void seen.add(name);
  app.addHook("smtp:init", async () => saw("smtp:init"));
  app.addHook("smtp:connect", (session, next) => {
    session["greetedAt"] = Date.now();
    saw("smtp:connect");
    next();
  });
  app.addHook("smtp:mail_from", async ({ address, args }, session) => {
    if (address.length > 2_048)
      throw Object.assign(new Error("Sender address is too long"), { responseCode: 452 });
    session["size"] = args["SIZE"] ?? null;
    saw("smtp:mail_from");
  });
  app.addHook("smtp:rcpt_to", async (address, session) => {
    if (session.envelope.rcptTo.length > 100) throw new Error(`too many before ${address.address}`);
    saw("smtp:rcpt_to");
  });
  app.addHook("smtp:data", async (envelope) => {
    envelope.origin = "192.0.2.1";
    envelope["my_custom_value"] = 123;
    saw("smtp:data");
  });
  app.addHook("api:mail", async (envelope) => {
    envelope["my_custom_value"] = 456;
    saw("api:mail");
  });
  app.addHook("message:headers", (envelope, info, next) => {
    envelope.headers.add("X-Blocked", "no");
    info["checkedBy"] = title;
    saw("message:headers");
    next();
  });
  app.addHook("message:store", async (_envelope, body) => {
    body.resume();
    saw("message:store");
  });
  app.addHook("message:queue", async () => saw("message:queue"));
  app.addHook("queue:route", async (_envelope, routing) => {
    if (routing.recipient.endsWith("@special.example")) routing.deliveryZone = "special";
    saw("queue:route");
  });
  app.addHook("sender:fetch", async (delivery) => {
    if (Number(delivery["my_custom_value"]) > 0) saw("sender:fetch");
  });
  app.addHook("sender:connecting", async () => saw("sender:connecting"));
  app.addHook("sender:connect", async (delivery, options) => {
    if (delivery.zoneAddress && options.port > 0) saw("sender:connect");
  });
  app.addHook("sender:connected", async () => saw("sender:connected"));
  app.addHook("sender:connection", async () => saw("sender:connection"));
  app.addHook("sender:headers", (delivery, _connection, next) => {
    delivery.headers?.add("X-Seq", delivery.seq);
    saw("sender:headers");
    next();
  });
  app.addHook("sender:delivered", async () => saw("sender:delivered"));
  app.addHook("sender:responseError", async (delivery, _connection, error) => {
    if (error.responseCode === 550) delivery.deferTimes = [60_000];
    saw("sender:responseError");
  });
  app.addHook("queue:bounce", async ({ returnPath }) => saw(returnPath === "" ? "" : "queue:bounce"));
  app.addHook("queue:release", async (zone, { status }) => {
    if (zone !== "" && status.delivered) saw("queue:release");
  });
  app.addHook("log:entry", async ({ action }) => {
    if (action === "ACCEPTED") saw("log:entry");
  });
  app.addAnalyzerHook((_envelope, source, destination) => {
    saw("analyzer");
    source.pipe(destination);
  });
  app.addRewriteHook(
    (_envelope, node) => node.contentType === "text/plain",
    (_envelope, node, source, destination) => {
      if (node.headers) node.headers.add("X-Processed", "yes");
      source.pipe(destination);
      saw("rewriter");
    },
  );
  app.addStreamHook(
    (_envelope, node) => node.contentType === "text/plain",
    (_envelope, _node, source, done) => {
      source.on("end", done).resume();
      saw("streamer");
    },
  );
  app.addAPI("GET", "/seen", (_request, response, next) => {
    response.json([...seen].toSorted());
    next();
  });
}

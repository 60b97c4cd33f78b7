/** In TypeScript: so many recipients a client, and a page that shows how many there were. */

import type { PluginApp } from "zonefleet";

export const title = "Rate per user";

export async function init(app: PluginApp): Promise<void> {
  const counts = new Map<string, number>();
  const limit = Number(app.config["limit"]);

  app.addHook("smtp:rcpt_to", async (_address, session) => {
    const who = session.user ?? session.hostNameAppearsAs ?? "";
    const count = counts.get(who) ?? 0;
    if (count >= limit) throw Object.assign(new Error("4.7.1 Enough for today"), { responseCode: 450 });
    counts.set(who, count + 1);
  });

  app.addAPI("get", "/counts", (_request, response) => {
    const rows = [...counts].map(
      ([who, count]) => `<tr><td>${encodeURIComponent(who)}</td><td>${count}</td></tr>`,
    );
    response.setHeader("Content-Type", "text/html").send(`<table>${rows.join("")}</table>`);
  });
}

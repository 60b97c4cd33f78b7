/** As a module: mail of a campaign goes by a zone of its own. */

export const title = "Route by header";

export async function init(app) {
  app.addHook("message:headers", async (envelope) => {
    const campaign = envelope.headers.getFirst("x-campaign");
    if (campaign === "") return;
    envelope.sendingZone = app.config.zone;
    envelope.campaign = campaign;
  });
}

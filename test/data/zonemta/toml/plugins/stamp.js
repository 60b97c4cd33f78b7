"use strict";

module.exports.title = "Stamp";
module.exports.init = (app, done) => {
  app.addHook("message:headers", (envelope, messageInfo, next) => {
    envelope.headers.add("X-Stamp", `${app.config.text} ${app.config.since}`);
    next();
  });
  done();
};

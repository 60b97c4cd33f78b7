/* As users of ZoneMTA write them: mail that names `X-Send-As` goes out in that name. */

module.exports.title = "Rewrite From";

module.exports.init = function init(app, done) {
  app.addHook("message:headers", function (envelope, messageInfo, next) {
    const wanted = envelope.headers.getFirst("x-send-as");
    if (!wanted) return next();
    envelope.headers.remove("x-send-as");
    app.validateAddress(envelope.headers, "from").set(wanted);
    messageInfo.rewritten = "yes";
    app.logger.info("RewriteFrom", "%s From is %s now", envelope.id, wanted);
    return next();
  });
  done();
};

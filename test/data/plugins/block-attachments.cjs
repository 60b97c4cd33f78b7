/* As users of ZoneMTA write them: no programs, and no file whose hash is on a list. The stream hook looks, `message:queue` decides. */

const { createHash } = require("node:crypto");

module.exports.title = "Block attachments";

module.exports.init = function init(app, done) {
  const hashes = new Set(app.config.sha256 || []);
  const isAttachment = (envelope, node) => !node.multipart && Boolean(node.filename);

  app.addStreamHook(isAttachment, function (envelope, node, decoder, finished) {
    const hash = createHash("sha256");
    decoder.on("data", (chunk) => hash.update(chunk));
    decoder.on("end", function () {
      if (/\.(exe|scr|js)$/i.test(node.filename) || hashes.has(hash.digest("hex")))
        envelope.blockedFile = node.filename;
      finished();
    });
  });

  app.addHook("message:queue", function (envelope, messageInfo, next) {
    if (!envelope.blockedFile) return next();
    const text = `552 5.7.0 We do not send ${envelope.blockedFile}`;
    return next(app.reject(envelope, "attachment", messageInfo, text));
  });
  done();
};

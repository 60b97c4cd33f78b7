/* As users of ZoneMTA write them: a line below every text and HTML part, in the charset of the part. */

module.exports.title = "Footer";

const FOOTER = "Example GmbH, Köln";
const AS_HTML = "<p>Example GmbH, K&ouml;ln</p>";

function encodedFor(node) {
  switch ((node.charset || "").toLowerCase()) {
    case "utf-8":
      return Buffer.from(`\r\n-- \r\n${FOOTER}\r\n`);
    case "iso-8859-1":
    case "windows-1252":
      return Buffer.from(`\r\n-- \r\n${FOOTER}\r\n`, "latin1");
    default:
      return Buffer.from(`\r\n-- \r\n${FOOTER.replace("ö", "oe")}\r\n`);
  }
}

function withFooter(html) {
  const end = html.lastIndexOf("</body>");
  return end < 0 ? html + AS_HTML : html.slice(0, end) + AS_HTML + html.slice(end);
}

module.exports.init = function init(app, done) {
  const isText = (envelope, node) =>
    /^text\/(plain|html)$/.test(node.contentType) && node.disposition !== "attachment";
  app.addRewriteHook(isText, function (envelope, node, decoder, encoder) {
    if (node.contentType === "text/plain") {
      decoder.on("end", () => encoder.end(encodedFor(node)));
      decoder.pipe(encoder, { end: false });
      return;
    }
    const chunks = [];
    decoder.on("data", (chunk) => chunks.push(chunk));
    // every charset of the web has ASCII in it as it is, so nothing need be known of the rest
    decoder.on("end", () =>
      encoder.end(Buffer.from(withFooter(Buffer.concat(chunks).toString("latin1")), "latin1")),
    );
  });
  done();
};

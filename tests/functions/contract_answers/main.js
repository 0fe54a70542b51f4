const bytes = (count) => Buffer.from(Array.from({ length: count }, (_, index) => index));

const ANSWERS = {
  "/text": (res) => res.text("héllo"),
  "/text-201": (res) => res.text("made", 201, { "X-Kept": "yes" }),
  "/json": (res) =>
    res.json({ text: "é", list: [1, null, true] }, 201, { "Content-Type": "text/html" }),
  "/binary": (res) => res.binary(bytes(256)),
  "/empty": (res) => res.empty(),
  "/redirect": (res) => res.redirect("https://example.com/a?b=c"),
  "/redirect-302": (res) => res.redirect("/there", 302, { "x-why": "moved" }),
  "/send": (res) => res.send("sent", 203),
  "/html": (res) => res.text("<p>", 200, { "Content-Type": "Text/HTML" }),
  "/charset": (res) => res.text("x", 200, { "content-type": "text/html; charset=ISO-8859-1" }),
  "/multipart": (res) =>
    res.text("x", 200, { "content-type": "multipart/form-data; boundary=AbC" }),
  "/hidden": (res) => res.text("x", 200, { "X-Open-Runtimes-Secret": "1", "x-seen": "2" }),
  "/cookies": (res) => res.text("x", 200, { "set-cookie": ["a=1", "b=2"] }),
  "/number": (res) => res.text("x", 200, { "x-number": 5 }),
  "/injection": (res) => res.text("x", 200, { "x-bad": "a\r\nx-evil: 1", "x-good": "1" }),
  "/handmade": () => ({ body: "made", statusCode: 202 }),
  "/other-keys": () => ({ other: 1 }),
  "/status-text": () => ({ body: "x", statusCode: "201" }),
  "/not-modified": () => ({ body: "dropped", statusCode: 304 }),
  "/twice": (res) => [res.text("first"), res.text("second")][1],
  "/nothing": () => undefined,
  "/returns-text": () => "text",
  "/returns-number": () => 5,
  "/status-99": (res) => res.text("x", 99),
  "/too-large": (res) => res.binary(Buffer.alloc(20 * 1024 * 1024 + 1)),
  "/large": (res) => res.binary(Buffer.alloc(20 * 1024 * 1024)),
};

module.exports = ({ req, res }) => ANSWERS[req.path](res);

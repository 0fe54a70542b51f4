import { Buffer } from "node:buffer";
import type { Routes } from "./routes.ts";

const MIB = 1024 * 1024;
const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));

const routes: Routes = {
  "/text": ({ res }) => res.text("héllo"),
  "/text-201": ({ res }) => res.text("made", 201, { "X-Kept": "yes" }),
  "/json": ({ res }) =>
    res.json({ text: "é", list: ["a", null, true], empty: [] }, 201, {
      "Content-Type": "text/html",
    }),
  "/binary": ({ res }) => res.binary(bytes),
  "/empty": ({ res }) => res.empty(),
  "/send": ({ res }) => res.send("sent", 203),
  "/redirect": ({ res }) => res.redirect("https://example.com/a?b=c"),
  "/redirect-302": ({ res }) => res.redirect("/there", 302, { "x-why": "moved" }),
  "/html": ({ res }) => res.text("<p>", 200, { "Content-Type": "Text/HTML" }),
  "/charset": ({ res }) => res.text("x", 200, { "content-type": "text/html; charset=ISO-8859-1" }),
  "/multipart": ({ res }) =>
    res.text("x", 200, { "content-type": "multipart/form-data; boundary=AbC" }),
  "/hidden": ({ res }) => res.text("x", 200, { "X-Open-Runtimes-Secret": "1", "x-seen": "2" }),
  "/cookies": ({ res }) => res.text("x", 200, { "set-cookie": ["a=1", "b=2"] }),
  "/number": ({ res }) => res.text("x", 200, { "x-number": 5 }),
  "/injection": ({ res }) => res.text("x", 200, { "x-bad": "a\r\nx-evil: 1", "x-good": "1" }),
  "/handmade": () => ({ body: "made", statusCode: 202 }),
  "/other-keys": () => ({ other: 1 }),
  "/status-text": () => ({ body: "x", statusCode: "201" }),
  "/not-modified": ({ res }) => res.text("dropped", 304),
  "/twice": ({ res }) => [res.text("first"), res.text("second")][1],
  "/nothing": () => undefined,
  "/returns-text": () => "text",
  "/returns-number": () => 5,
  "/status-99": ({ res }) => res.text("x", 99),
  "/large": ({ res }) => res.binary(Buffer.alloc(20 * MIB)),
  "/too-large": ({ res }) => res.binary(Buffer.alloc(20 * MIB + 1)),
  "/many-headers": ({ req, res }) => {
    const [count, length] = req.queryString.split(",").map(Number);
    const names = Array.from({ length: count }, (_, index) => `x-${index}`);
    return res.text("x", 200, Object.fromEntries(names.map((name) => [name, '"'.repeat(length)])));
  },
};

export default routes;

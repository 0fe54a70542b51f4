// A small shop: ESM, a dependency from npm, a sibling module, a file beside the module.
import { readFile } from "node:fs/promises";
import ms from "ms";
import { totalCents } from "./pricing.js";

const greeting = await readFile(new URL("greeting.txt", import.meta.url), "utf8");
const png = Buffer.concat([
  Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"),
  Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i)),
]);

export default async ({ req, res, log }) => {
  if (req.path === "/") return res.text(greeting, 200, { "content-type": "text/html" });
  if (req.path === "/receipt.png") return res.binary(png, 200, { "content-type": "image/png" });
  if (req.path === "/orders" && req.method === "POST") {
    const { name, lines } = req.bodyJson;
    log("order", { lines: lines.length });
    return res.json(
      { title: name.toUpperCase(), receipt: ms("7 days"), ...totalCents(lines) },
      201,
    );
  }
  if (req.path === "/old") return res.redirect("/orders", 302);
  return res.json({ error: `nothing at ${req.path}` }, 404);
};

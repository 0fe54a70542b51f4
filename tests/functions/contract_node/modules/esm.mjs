import { readFile } from "node:fs/promises";

const text = await readFile(new URL(import.meta.url), "utf8");

export default async ({ res }) => res.text(text.startsWith("import") ? "esm" : "?");

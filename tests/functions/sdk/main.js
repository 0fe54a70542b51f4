import { existsSync, statSync } from "node:fs";

const PADDING = new URL("padding.bin", import.meta.url);

export default async ({ req, res, log, error }) => {
  log("a line for the logs");
  error("a line for the errors");
  return res.json(
    {
      method: req.method,
      path: req.path,
      query: req.query,
      body: req.body,
      greeting: process.env.GREETING ?? "",
      padding: existsSync(PADDING) ? statSync(PADDING).size : 0,
      trigger: req.headers["x-appwrite-trigger"],
    },
    200,
    { "x-answered-by": "node" },
  );
};

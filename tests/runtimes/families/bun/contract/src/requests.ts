import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import beside from "./beside.ts";
import type { Routes } from "./routes.ts";

const routes: Routes = {
  "/mirror": ({ req, res }) =>
    res.json({
      method: req.method,
      scheme: req.scheme,
      host: req.host,
      port: req.port,
      path: req.path,
      queryString: req.queryString,
      query: req.query,
      url: req.url,
      headers: req.headers,
      bodyText: req.bodyText,
      body: req.body,
    }),
  "/body-json": ({ req, res }) => res.json({ parsed: req.bodyJson }),
  "/body-binary": ({ req, res }) => res.binary(req.bodyBinary),
  "/body-text": ({ req, res }) => res.text(req.bodyText),
  "/beside": ({ res }) => res.text(beside),
  "/file": ({ res }) => res.text(readFileSync("greeting.txt", "utf8")),
  "/environment": ({ res }) => res.json(process.env),
  "/shell": ({ req, res }) => {
    const options = { stdio: ["ignore", "pipe", "inherit"] } as const;
    return res.binary(spawnSync("/bin/sh", ["-c", req.bodyText], options).stdout);
  },
  "/unicode": ({ req, res, log, error }) => {
    const text = `${req.bodyText} ñ`;
    log(text);
    error(text);
    return res.text(text);
  },
};

export default routes;

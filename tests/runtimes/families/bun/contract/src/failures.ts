import { writeSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Routes } from "./routes.ts";

const worker = process.hrtime.bigint().toString();
let calls = 0;

const overflow = (depth: number): number => overflow(depth + 1) + 1;

const routes: Routes = {
  "/state": ({ res }) => {
    calls += 1;
    return res.json({ calls, worker });
  },
  "/exit": ({ log }) => {
    log("called");
    writeSync(2, "last words\n");
    process.exit(7);
  },
  "/overflow": () => overflow(1),
  "/memory": () => {
    const kept: Uint8Array[] = [];
    for (;;) kept.push(new Uint8Array(1024 * 1024).fill(1));
  },
  "/sleep": async ({ req, res, log }) => {
    log("begun");
    await sleep(1000 * Number(req.queryString));
    return res.text(worker);
  },
  "/never": ({ log }) => {
    log("begun");
    return new Promise(() => {});
  },
  "/spin": ({ log }) => {
    log("begun");
    for (;;);
  },
  "/echo": async ({ req, res, log, error }) => {
    log("first", req.bodyText);
    error("error", req.bodyText);
    await sleep(Number(req.queryString));
    log("second", req.bodyText);
    return res.text(req.bodyText);
  },
};

export default routes;

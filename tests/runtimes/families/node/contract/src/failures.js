const { writeSync } = require("fs");
const { setTimeout: sleep } = require("timers/promises");

const worker = process.hrtime.bigint().toString();
let calls = 0;

const overflow = (depth) => overflow(depth + 1) + 1;

module.exports = {
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
  "/memory": ({ res }) => {
    const kept = [];
    for (;;) kept.push(Buffer.alloc(1024 * 1024, 1));
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

// A function that attacks its server from inside. The request's path names the attack and its body
// is the caller's secret, which the function answers if it answers at all.
"use strict";
const { spawn } = require("child_process");
const fs = require("fs");
const net = require("net");

const CONTROL = 3;
const daemonText = (mark) => `trap '' TERM HUP; while :; do sleep 1; done # ${mark}`;
const forever = () => new Promise((resolve) => setTimeout(resolve, 60_000));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let calls = 0;
const held = [];

for (const name of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(name, () => {});

module.exports = async (context) => {
  calls += 1;
  return (await attacks[context.req.path.slice(1)](context)) ?? context.res.text(context.req.bodyText);
};

function write(data) {
  for (let start = 0; start < data.length; ) {
    try {
      start += fs.writeSync(CONTROL, data, start);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

function lengths(header, body) {
  const data = Buffer.alloc(8);
  data.writeUInt32BE(header, 0);
  data.writeUInt32BE(body, 4);
  return data;
}

function send(header, body = Buffer.alloc(0)) {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  write(Buffer.concat([lengths(text.length, body.length), text, body]));
}

function reply(id, body, headers = []) {
  send({ type: "response", id, statusCode: 200, headers }, Buffer.from(body));
}

function startDaemon(context) {
  const options = { detached: true, stdio: "ignore" };
  spawn("/bin/sh", ["-c", daemonText(context.req.query.mark)], options).unref();
  return sleep(50);
}

const attacks = {
  alive() {},

  // Time
  spin() {
    for (;;);
  },
  wait: forever,
  late_reply() {
    setTimeout(() => reply(calls, "poison"), 2100);
    return forever();
  },
  half_reply() {
    write(Buffer.concat([lengths(100, 100), Buffer.from("{")]));
    return forever();
  },
  async dripping_reply() {
    for (const byte of Buffer.concat([lengths(1000, 20 * 2 ** 20), Buffer.alloc(1000, " ")])) {
      write(Buffer.from([byte]));
      await sleep(10);
    }
  },
  refuse_to_stop() {
    process.on("exit", () => {
      for (;;);
    });
  },

  // Replies
  garbage() {
    write(Buffer.alloc(64, 0xff));
    return forever();
  },
  half_reply_and_exit() {
    write(Buffer.concat([lengths(100, 100), Buffer.from("{")]));
    process.reallyExit(0);
  },
  foreign_reply() {
    reply(10 ** 6, "poison");
    return forever();
  },
  early_reply() {
    reply(calls + 1, "poison");
    return forever();
  },
  two_replies(context) {
    reply(calls, context.req.bodyBinary);
    reply(calls, "poison");
    return context.res.text("poison");
  },
  earlier_reply() {
    reply(calls - 1, "poison");
    send({ type: "log", id: calls - 1, stream: "logs" }, Buffer.from("poison\n"));
  },
  nested_reply() {
    send(`{"type":"response","id":${calls},"statusCode":200,"headers":${"[".repeat(500_000)}`);
    return forever();
  },
  huge_body: (context) => context.res.binary(Buffer.alloc(20 * 2 ** 20 + 1)),
  huge_frame() {
    write(lengths(100, 33 * 2 ** 20));
    return forever();
  },
  headers(context) {
    const odd = [
      ["x-split", "a\r\nx-planted: 1"],
      ["x-name\r\nx-planted", "1"],
      ["x-bell", "\x07"],
      ["connection", "upgrade"],
      ["transfer-encoding", "chunked"],
      ["content-length", "1"],
      ["x-appwrite-execution-id", "forged"],
      ["x-large", "y".repeat(100_000)],
      ["x-kept", "z"],
    ];
    reply(calls, context.req.bodyBinary, odd);
    return forever();
  },
  many_headers(context) {
    reply(calls, context.req.bodyBinary, Array(90_000).fill(["a", ""]));
    return forever();
  },
  status() {
    send({ type: "response", id: calls, statusCode: 1000, headers: [] });
    return forever();
  },

  // The control socket and the process
  close_control() {
    fs.closeSync(CONTROL);
    return forever();
  },
  share_control(context) {
    spawn("/bin/sh", ["-c", daemonText(context.req.query.mark)], { detached: true, stdio: ["ignore", "ignore", "ignore", CONTROL] });
    process.reallyExit(0);
  },
  kill_itself() {
    process.kill(process.pid, "SIGKILL");
    return forever();
  },
  unnamed_signal() {
    process.kill(process.pid, 40);
    return forever();
  },
  odd_exit_code: () => process.reallyExit(168),
  daemon: startDaemon,
  async daemon_and_wait(context) {
    await startDaemon(context);
    await forever();
  },
  async daemon_and_exit(context) {
    await startDaemon(context);
    process.reallyExit(0);
  },

  // Logs
  log_flood(context) {
    for (;;) context.log("x".repeat(8000));
  },
  output_flood() {
    for (;;) fs.writeSync(1, Buffer.alloc(65536));
  },
  errors_flood() {
    for (;;) fs.writeSync(2, Buffer.alloc(65536));
  },
  endless_line() {
    console.log("x".repeat(40_000_000));
  },
  binary_logs(context) {
    context.log("\0\x1b[2J\r\x7f");
    send({ type: "log", id: calls, stream: "logs" }, Buffer.from([0xff, 0xfe, 0xc3, 0x0a]));
    fs.writeSync(1, Buffer.from([0xff, 0, 0x1b]));
  },

  // Resources of a process
  files() {
    try {
      for (;;) held.push(fs.openSync("/dev/null", "r"));
    } catch {}
  },
  async take_port() {
    const { port } = new URL(process.env.APPWRITE_FUNCTION_API_ENDPOINT);
    for (const host of ["127.0.0.1", "0.0.0.0", "::1", "::"]) {
      const reason = await new Promise((resolve) => {
        const server = net.createServer().listen({ host, port, ipv6Only: true }, () => resolve("none"));
        server.on("error", (error) => resolve(error.code));
      });
      if (!["EADDRINUSE", "EADDRNOTAVAIL", "EAFNOSUPPORT"].includes(reason)) throw new Error(`${host}: ${reason}`);
    }
  },
  memory() {
    for (;;) held.push(Buffer.alloc(16 * 2 ** 20, 1));
  },

  // Files
  plant(context) {
    for (const place of ["/tmp", process.env.TMPDIR ?? "/tmp", "/dev/shm", "/var/tmp"]) {
      try {
        fs.writeFileSync(`${place}/${context.req.query.mark}`, context.req.bodyText);
      } catch {}
    }
  },
  look(context) {
    const names = [];
    for (const place of ["/tmp", process.env.TMPDIR ?? "/tmp", "/dev/shm", "/var/tmp"]) {
      try {
        names.push(...fs.readdirSync(place));
      } catch {}
    }
    return context.res.text(names.includes(context.req.query.mark) ? "True" : "False");
  },
};

// Hostile functions that hide their resources: `hide.py` in Node.js, as far as Node.js can.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

module.exports = ({ Held, Left, perl, run, sleep }) => {
// Runs an attack of the Python files beside this one, for system calls that Node.js and perl lack.
function python(name, targets) {
  const boot = "import sys; sys.path.append(sys.argv.pop(1)); " +
    "from programs.attack import main; main()";
  const place = path.dirname(__dirname);
  const argv = ["-I", "-S", "-B", "-c", boot, place, name, JSON.stringify(targets)];
  const [verdict, ...words] = run("/usr/bin/python3", ...argv).trim().split(" ");
  if (verdict === "LEFT") throw new Left(words.join(" "));
  if (verdict !== "BREACHED") throw new Held(words.join(" "));
  return words.join(" ");
}

const attacks = {
  headless_memory: (t) => python("headless_memory", t),
  headless_deleted_file: (t) => python("headless_deleted_file", t),
  headless_daemon: (t) => python("headless_daemon", t),
  own_descriptors: (t) => python("own_descriptors", t),
  thread_bomb: (t) => python("thread_bomb", t),
  page_tables: (t) => python("page_tables", t),
  secret_memory: (t) => python("secret_memory", t),
  loopback_queues: (t) => python("loopback_queues", t),
  descriptors_in_flight: (t) => python("descriptors_in_flight", t),
  pending_signals: (t) => python("pending_signals", t),
  async many_files() {
    for (let number = 0; number < 52000; number++) {
      fs.closeSync(fs.openSync(path.join(process.env.TMPDIR, String(number)), "w"));
    }
    await sleep(20);
    return "52,000 files";
  },
  queue_of_the_dead() {
    // By perl, which accepts no connections by itself.
    const script = 'use Socket; socket(L, AF_INET, SOCK_STREAM, 0); ' +
      'bind(L, pack_sockaddr_in(0, inet_aton("127.0.0.1"))) or die; listen(L, 4096) or die; ' +
      'for (1 .. 400) { socket(C, AF_INET, SOCK_STREAM, 0); connect(C, getsockname(L)) or die; ' +
      'fcntl(C, 4, 2048); 1 while syswrite(C, "x" x 1048576); close(C) } sleep 10';
    perl(script);
    return "400 connections";
  },
  fill_devices() {
    const block = Buffer.alloc(2 ** 20, 1);
    let written = 0;
    for (const place of ["/dev", "/dev/shm"]) {
      const file = `${place}/fill-${process.pid}`;
      try {
        for (; written < 64; written++) fs.appendFileSync(file, block);
      } catch {} finally {
        fs.rmSync(file, { force: true });
      }
    }
    if (written < 64) throw new Held(`${written} MB`);
    return `${written} MB`;
  },
};

return attacks;
};

// The hostile functions of attack.py that Node.js has words for: `attack.cjs NAME TARGETS` prints BREACHED and what it
// got, or HELD and why.
"use strict";
const { spawn, spawnSync } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");

class Held extends Error {}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function run(...argv) {
  const done = spawnSync(argv[0], argv.slice(1), { encoding: "utf8" });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Held(done.stderr.trim() || `${done.signal || done.status}`);
}

function connect(options) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ ...options, timeout: 2000 }, () => { socket.destroy(); resolve("connected"); });
    socket.on("error", reject);
    socket.on("timeout", () => { socket.destroy(); reject(new Held("no answer")); });
  });
}

function isVisible(pid, word) {
  let text = word;
  try {
    text = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch (error) {
    if (error.code !== "EACCES") throw error; // hidden, but it is there
  }
  if (!text.includes(word)) throw new Held("another process has that number here");
}

function signalOne(pid, word) {
  isVisible(pid, word);
  process.kill(Number(pid), 0);
  return `may signal ${pid}`;
}

const attacks = {
  read_database: (t) => fs.readFileSync(t.database, "utf8"),
  list_data: (t) => String(fs.readdirSync(t.data)),
  change_database_mode(t) {
    fs.chmodSync(t.database, 0);
    fs.chmodSync(t.database, 0o600);
    return "made the database unreadable";
  },
  write_data(t) {
    fs.writeFileSync(path.join(t.data, "planted"), "x");
    return "planted a file in the data directory";
  },
  write_own_code() {
    try { fs.chmodSync(__dirname, 0o777); } catch {}
    fs.writeFileSync(path.join(__dirname, "planted.js"), "x");
    return "changed its own code";
  },
  write_outside_tmp() {
    const own = fs.realpathSync(process.env.TMPDIR);
    for (const place of ["/", "/etc", "/usr/bin", "/var/tmp", "/dev", "/run", "/home", "/opt", "/srv", "/tmp"]) {
      if (own === place) continue;
      try {
        const file = path.join(place, `planted-${process.pid}`);
        fs.writeFileSync(file, "x");
        fs.unlinkSync(file);
        return `wrote in ${place}`;
      } catch {}
    }
    throw new Held("nothing is writable");
  },
  read_other_build: (t) => fs.readFileSync(path.join(t.other_build, "main.py"), "utf8"),
  server_environment(t) {
    for (const pid of ["1", "self", t.server, t.launcher]) {
      let text = "";
      try { text = fs.readFileSync(`/proc/${pid}/environ`, "utf8"); } catch {}
      if (text.includes("SERVER_SECRET")) return `of ${pid}`;
    }
    throw new Held("no secret in any environment");
  },
  other_environment(t) {
    const text = fs.readFileSync(`/proc/${t.other}/environ`, "utf8");
    if (!text.includes("OTHER_SECRET")) throw new Held("another process has that number here");
    return text;
  },
  see_processes() {
    for (const name of fs.readdirSync("/proc")) {
      let text = "";
      try { text = fs.readFileSync(`/proc/${Number(name)}/cmdline`, "utf8"); } catch {}
      if (text.includes("victim")) return "another function's command line";
    }
    throw new Held("sees only its own");
  },
  signal_server: (t) => signalOne(t.server, "driver"),
  signal_launcher: (t) => signalOne(t.launcher, "launcher"),
  signal_other: (t) => signalOne(t.other, "victim"),
  limit_server(t) {
    isVisible(t.server, "driver");
    run("prlimit", "--pid", t.server, "--core=0:0");
    return "may set the server's limits";
  },
  read_memory(t) {
    isVisible(t.other, "victim");
    fs.closeSync(fs.openSync(`/proc/${t.other}/mem`, "r"));
    return "opened another function's memory";
  },
  become_root() {
    if (process.geteuid() === 0) return "is root";
    const status = fs.readFileSync("/proc/self/status", "utf8");
    if (!status.includes("CapEff:\t0000000000000000")) return "has capabilities";
    if (!status.includes("NoNewPrivs:\t1")) return "may gain privileges by setuid programs";
    process.setuid(0);
    return "became root";
  },
  user_namespace() {
    run("unshare", "--user", "true");
    return "made a user namespace";
  },
  mount_something() {
    run("unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", process.env.TMPDIR);
    return "mounted";
  },
  type_into_terminal() {
    fs.closeSync(fs.openSync("/dev/tty", "r+"));
    return "opened the terminal";
  },
  other_socket: (t) => connect({ path: t.socket }),
  loopback: (t) => connect({ host: "127.0.0.1", port: Number(t.port) }),
  async fork_bomb() {
    for (let made = 0; made < 400; made++) {
      const child = spawn("sleep", ["30"], { stdio: "ignore" });
      child.on("error", () => {});
      if (child.pid === undefined) throw new Held(`${made} processes`);
      await sleep(0);
    }
    await sleep(5);
    return "400 processes";
  },
  memory_bomb() {
    const blocks = [];
    for (let count = 0; count < 64; count++) blocks.push(Buffer.alloc(2 ** 24, 1));
    return `${blocks.length * 16} MB`;
  },
  async memory_tree() {
    // Each process stays below its own limit.
    const script = "const held = Buffer.alloc(48 * 2 ** 20, 1); setTimeout(() => held, 20000)";
    for (let count = 0; count < 8; count++) spawn(process.execPath, ["-e", script], { stdio: "ignore" });
    await sleep(10);
    return "384 MB";
  },
  async fill_disk() {
    const block = Buffer.alloc(2 ** 20, 1);
    for (let number = 0; number < 64; number++) {
      for (let part = 0; part < 4; part++) fs.appendFileSync(path.join(process.env.TMPDIR, `fill${number}`), block);
    }
    await sleep(5);
    return "256 MB";
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
  open_everything() {
    for (let number = 0; number < 4096; number++) {
      try {
        fs.openSync("/dev/null", "r");
      } catch (error) {
        throw new Held(`${number} descriptors: ${error.code}`);
      }
    }
    return "4096 descriptors";
  },
  dump_core() {
    if (/Max core file size +\d+ +0 /.test(fs.readFileSync("/proc/self/limits", "utf8"))) throw new Held("no core files");
    return "may write core files";
  },
};

async function main() {
  try {
    fs.writeSync(1, `BREACHED ${await attacks[process.argv[2]](JSON.parse(process.argv[3]))}\n`);
  } catch (error) {
    fs.writeSync(1, `HELD ${error.code || ""} ${error.message}\n`);
  }
  process.exit(0);
}

main();

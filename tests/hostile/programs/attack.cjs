// The hostile functions of the Python files here, in Node.js: `attack.cjs NAME TARGETS` prints
// BREACHED and the spoils, HELD and the reason, or LEFT and what it leaves behind. System calls that
// Node.js lacks it makes as an attacker would: by perl, which every Debian has.
"use strict";
const { spawn, spawnSync } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");

class Held extends Error {}
class Left extends Error {}

// Numbers of system calls: x64, arm64.
const CALLS = {
  bpf: [321, 280], clone: [56, 220], fanotify_init: [300, 262], io_uring_setup: [425, 425], keyctl: [250, 219],
  mmap: [9, 222], personality: [135, 92], ptrace: [101, 117], setpriority: [141, 140], setxattr: [188, 5],
  shmat: [30, 196], socket: [41, 198], userfaultfd: [323, 282],
};
const number = (name) => CALLS[name][["x64", "arm64"].indexOf(process.arch)];

function works(attempt) {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function run(...argv) {
  const done = spawnSync(argv[0], argv.slice(1), { encoding: "utf8" });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Held(done.stderr.trim() || `${done.signal || done.status}`);
  return done.stdout;
}

const perl = (script, ...argv) => run("perl", "-e", script, ...argv);

// Makes one system call and returns the result. `*256` is a buffer of 256 bytes, a text is itself.
function call(name, ...argv) {
  const script = 'my @a = map { /^\\*(\\d+)$/ ? "\\0" x $1 : /^-?\\d+$/ ? 0 + $_ : $_ } @ARGV; ' +
    'my $n = shift @a; my $r = syscall($n, @a); ' +
    'if ($r == -1) { print STDERR $! + 0; exit 1 } print $r';
  return Number(perl(script, number(name), ...argv));
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
    if (error.code !== "EACCES") throw error; // It is hidden, but exists.
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
  look_at_database: (t) => `it has ${fs.statSync(t.database).size} bytes`,
  change_database_mode(t) {
    fs.chmodSync(t.database, 0);
    fs.chmodSync(t.database, 0o600);
    return "made the database unreadable";
  },
  link_database(t) {
    fs.linkSync(t.database, path.join(process.env.TMPDIR, "database"));
    return "has a name for the database";
  },
  mark_database: (t) => `gave it an attribute: ${call("setxattr", t.database, "user.planted", "x", 1, 0)}`,
  watch_data: (t) => `is told of files: ${fs.watch(t.data).close()}`,
  write_data(t) {
    fs.writeFileSync(path.join(t.data, "planted"), "x");
    return "planted a file in the data directory";
  },
  write_own_code() {
    works(() => fs.chmodSync(__dirname, 0o777));
    fs.writeFileSync(path.join(__dirname, "planted.js"), "x");
    return "changed its own code";
  },
  write_outside_tmp() {
    const own = fs.realpathSync(process.env.TMPDIR);
    for (const place of ["/", "/etc", "/usr/bin", "/var/tmp", "/dev", "/run", "/home", "/opt", "/srv", "/tmp"]) {
      if (own === place) continue;
      const file = path.join(place, `planted-${process.pid}`);
      if (works(() => { fs.writeFileSync(file, "x"); fs.unlinkSync(file); })) return `wrote in ${place}`;
    }
    throw new Held("nothing is writable");
  },
  swap_tmp(t) {
    const own = process.env.TMPDIR;
    fs.renameSync(own, `${own}-aside`);
    fs.symlinkSync(t.keepsake, own);
    fs.unlinkSync(own);
    fs.renameSync(`${own}-aside`, own);
    return "put a link in the place of its temporary directory";
  },
  plant_links(t) {
    [t.keepsake, t.database, "/", ".."].forEach((target, number) => {
      fs.symlinkSync(target, path.join(process.env.TMPDIR, `link${number}`));
    });
    throw new Left("links");
  },
  read_other_build: (t) => fs.readFileSync(path.join(t.other_build, "programs/attack.cjs"), "utf8"),
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
  other_descriptors(t) {
    for (const [victim, word] of [["server", "driver"], ["launcher", "launcher"], ["other", "victim"]]) {
      try {
        isVisible(t[victim], word);
        return `the ${victim} has ${fs.readlinkSync(`/proc/${t[victim]}/fd/0`)}`;
      } catch {}
    }
    throw new Held("none can be read");
  },
  signal_server: (t) => signalOne(t.server, "driver"),
  signal_launcher: (t) => signalOne(t.launcher, "launcher"),
  signal_other: (t) => signalOne(t.other, "victim"),
  signal_everybody() {
    process.kill(-1, "SIGURG");
    throw new Left("a signal for everybody");
  },
  signal_by_descriptor(t) {
    // F_SETOWN, F_SETSIG to SIGUSR2, O_ASYNC: the kernel sends it when the pipe changes.
    perl('pipe(R, W); for ([8, shift], [10, 12], [4, 020000]) { fcntl(R, $_->[0], $_->[1] + 0) or die $! } ' +
      'syswrite(W, "x")', t.other);
    throw new Left("a signal for another function");
  },
  limit_server(t) {
    isVisible(t.server, "driver");
    run("prlimit", "--pid", t.server, "--core=0:0");
    return "may set the server's limits";
  },
  renice_other(t) {
    isVisible(t.other, "victim");
    const other = Number(t.other);
    for (const change of [
      () => os.setPriority(other, os.getPriority(other) + 1),
      () => run("taskset", "--pid", "--cpu-list", "0", t.other),
      () => run("chrt", "--batch", "--pid", "0", t.other),
      () => run("ionice", "--class", "2", "--classdata", "7", "--pid", t.other),
    ]) {
      if (works(change)) return "changed how another function is scheduled";
    }
    throw new Held("may change nothing");
  },
  renice_everybody(t) {
    isVisible(t.server, "driver");
    if (fs.statSync(`/proc/${t.server}`).uid !== process.getuid()) throw new Held("the server is another user's");
    try {
      call("setpriority", 2, 0, os.getPriority());
    } catch (error) {
      if (Number(error.message) !== os.constants.errno.EACCES) throw error;
    }
    return "may change the priority of all that belongs to its user";
  },
  sacrifice_server(t) {
    const file = `/proc/${t.server}/oom_score_adj`;
    isVisible(t.server, "driver");
    fs.writeFileSync(file, fs.readFileSync(file));
    return "may set the server's score";
  },
  spare_itself() {
    fs.writeFileSync("/proc/self/oom_score_adj", "0");
    return "has the score of the server";
  },
  trace_other(t) {
    isVisible(t.other, "victim");
    call("ptrace", 0x4206, t.other, 0, 0); // PTRACE_SEIZE
    return "traced another function";
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
  user_namespace_by_clone() {
    call("clone", 0x10000000 | 17, 0, 0, 0, 0);
    return "made a user namespace";
  },
  mount_something() {
    run("unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", process.env.TMPDIR);
    return "mounted";
  },
  kernel_interfaces() {
    const refused = [os.constants.errno.EPERM, os.constants.errno.EACCES, os.constants.errno.ENOSYS];
    const got = [];
    for (const [name, ...argv] of [
      ["io_uring_setup", 1, "*256"], ["bpf", 0, "*128", 128], ["keyctl", 0, -3, 0], ["userfaultfd", 1],
      ["fanotify_init", 0x200, 0], ["personality", 0x0040000],
    ]) {
      try {
        call(name, ...argv);
        got.push(name);
      } catch (error) {
        if (!refused.includes(Number(error.message))) got.push(`${name}: ${error.message}`);
      }
    }
    for (const [name, ...argv] of [["PACKET", 17, 3, 0], ["RDS", 21, 5, 0], ["ALG", 38, 5, 0], ["VSOCK", 40, 1, 0]]) {
      if (works(() => call("socket", ...argv))) got.push(name);
    }
    if (got.length === 0) throw new Held("none answers");
    return got.join(", ");
  },
  change_machine() {
    for (const argv of [["date", "--set=now"], ["hostname", os.hostname()]]) {
      if (works(() => run(...argv))) return `did ${argv}`;
    }
    for (const name of ["kernel/core_pattern", "kernel/randomize_va_space", "vm/overcommit_memory"]) {
      const file = `/proc/sys/${name}`;
      if (works(() => fs.writeFileSync(file, fs.readFileSync(file)))) return `set ${name}`;
    }
    for (const file of ["/proc/sysrq-trigger", "/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled"]) {
      if (works(() => fs.closeSync(fs.openSync(file, "r+")))) return `opened ${file}`;
    }
    throw new Held("nothing can be set");
  },
  raise_limits() {
    for (const [name, words] of [["nofile", "open files"], ["data", "data size"], ["fsize", "file size"]]) {
      const limits = fs.readFileSync("/proc/self/limits", "utf8");
      const hard = new RegExp(`Max ${words} +\\w+ +(\\w+)`).exec(limits)[1];
      if (hard === "unlimited") return `${name} is not limited`;
      if (works(() => run("prlimit", `--${name}=${Number(hard) + 1}`, "true"))) return `raised ${name}`;
    }
    throw new Held("each stays");
  },
  inherited_descriptors() {
    const names = fs.readdirSync("/proc/self/fd").filter((number) => number > 2).flatMap((number) => {
      try {
        return [fs.readlinkSync(`/proc/self/fd/${number}`)];
      } catch {
        return []; // the listing's own
      }
    });
    // Node.js itself has event descriptors, both ends of pipes, and open devices.
    const strange = names.filter((name) => !name.startsWith("anon_inode:") && !name.startsWith("/dev/") &&
      !(name.startsWith("pipe:") && names.filter((other) => other === name).length > 1));
    if (strange.length === 0) throw new Held("none");
    return strange.join(", ");
  },
  type_into_terminal() {
    fs.closeSync(fs.openSync("/dev/tty", "r+"));
    return "opened the terminal";
  },
  write_to_terminal(t) {
    fs.closeSync(fs.openSync(t.terminal, fs.constants.O_WRONLY | fs.constants.O_NOCTTY));
    return "opened the server's terminal";
  },
  other_socket: (t) => connect({ path: t.socket }),
  abstract_socket(t) {
    // Node.js supports names that begin with NUL only since 20.
    perl('use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0) or die $!; ' +
      'connect(S, pack_sockaddr_un("\\0" . shift)) or die $!', t.abstract);
    return "connected";
  },
  loopback: (t) => connect({ host: "127.0.0.1", port: Number(t.port) }),
  system_v_memory(t) {
    call("shmat", t.segment, 0, 0);
    return "attached a segment of the server";
  },
  posix_memory: (t) => fs.readFileSync(t.shared, "utf8"),
  spin() {
    spawn(process.execPath, ["-e", "for (;;);"], { detached: true, stdio: "ignore" });
    for (;;);
  },
  async ignore_termination() {
    for (const name of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(name, () => {});
    fs.writeSync(1, "READY\n");
    await sleep(1000);
  },
  daemon(t) {
    for (const env of [process.env, {}]) {
      const options = { detached: true, stdio: "ignore", env };
      spawn(process.execPath, ["-e", "setTimeout(() => {}, 1e6)", t.mark], options).unref();
    }
    throw new Left("two daemons");
  },
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
    // Each process stays below its own limit. More processes, with their threads, would first reach
    // the limit of processes.
    const script = "const held = Buffer.alloc(48 * 2 ** 20, 1); setTimeout(() => held, 20000)";
    for (let count = 0; count < 4; count++) spawn(process.execPath, ["-e", script], { stdio: "ignore" });
    await sleep(10);
    return "192 MB";
  },
  async shared_memory() {
    // PROT_READ and PROT_WRITE, MAP_SHARED and MAP_ANONYMOUS, MAP_POPULATE.
    const script = 'syscall(shift(@ARGV) + 0, 0, 512 << 20, 3, 0x8021, -1, 0); sleep 3';
    const child = spawn("perl", ["-e", script, number("mmap")], { stdio: "ignore" });
    const code = await new Promise((resolve, reject) => { child.on("close", resolve); child.on("error", reject); });
    if (code !== 0) throw new Held(`exit ${code}`);
    return "512 MB";
  },
  async fill_disk() {
    const block = Buffer.alloc(2 ** 20, 1);
    for (let number = 0; number < 64; number++) {
      for (let part = 0; part < 4; part++) fs.appendFileSync(path.join(process.env.TMPDIR, `fill${number}`), block);
    }
    await sleep(5);
    return "256 MB";
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
    const limits = fs.readFileSync("/proc/self/limits", "utf8");
    if (/Max core file size +\d+ +0 /.test(limits)) throw new Held("no core files");
    return "may write core files";
  },
};

Object.assign(attacks, require("./hide.cjs")({ Held, Left, perl, run, sleep }));

async function main() {
  try {
    fs.writeSync(1, `BREACHED ${await attacks[process.argv[2]](JSON.parse(process.argv[3]))}\n`);
  } catch (error) {
    fs.writeSync(1, `${error instanceof Left ? "LEFT" : "HELD"} ${error.code || ""} ${error.message}\n`);
  }
  process.exit(0);
}

main();

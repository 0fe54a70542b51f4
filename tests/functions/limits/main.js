const fs = require("node:fs");
const { spawnSync, spawn } = require("node:child_process");

const greed = {
  files() {
    for (let count = 0; count < 5000; count++) fs.openSync("/dev/null", "r");
  },
  processes() {
    for (let count = 0; count < 1000; count++) {
      const child = spawn("sleep", ["5"], { stdio: "ignore" });
      child.on("error", () => {});
      if (child.pid === undefined) throw spawnSync("true").error;
    }
  },
  disk() {
    for (let number = 0; number < 200; number++) {
      fs.writeFileSync(`${process.env.TMPDIR}/${number}`, Buffer.alloc(2 ** 20, 1));
    }
    // An engine may check the size only now and then.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
  },
};

module.exports = async (context) => {
  greed[context.req.path.slice(1)]();
  return context.res.text("nothing stopped it");
};

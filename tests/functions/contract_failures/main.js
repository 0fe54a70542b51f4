const fs = require("fs");

let calls = 0;

const main = async (context) => {
  calls += 1;
  context.log("called");
  if (context.req.path === "/raise") throw new TypeError("went wrong");
  if (context.req.path === "/exit") {
    fs.writeSync(2, "last words\n");
    process.exit(7);
  }
  if (context.req.path === "/overflow") return overflow(1);
  return context.res.json({ pid: process.pid, calls });
};

const overflow = (depth) => overflow(depth + 1) + 1;

module.exports = main;

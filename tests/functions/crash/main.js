let calls = 0;

module.exports = async ({ req, res, log }) => {
  calls += 1;
  log("before the crash");
  if (req.path === "/raise") throw new Error("a bug in the function");
  if (req.path === "/exit") {
    require("node:fs").writeSync(2, "written to the descriptor\n");
    process.exit(3);
  }
  if (req.path === "/memory") {
    const held = [];
    for (let i = 0; i < 4096; i += 1) held.push(Buffer.alloc(1 << 20, 1));
    return res.text(String(held.length));
  }
  return res.text(`alive ${calls}`);
};

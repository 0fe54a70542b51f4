module.exports = async ({ req, res, log, error }) => {
  if (req.path === "/values") {
    log("text", 1, [1, { a: "b" }], true);
    error("broken", { code: 5 });
    log();
  } else if (req.path === "/native") {
    log("before");
    console.log("printed", 1);
    console.log("printed 2");
    log("after");
  } else if (req.path === "/long") {
    log("x".repeat(8000));
    log("y".repeat(8001));
  } else if (req.path === "/flood") {
    for (let line = 0; line < 1400; line++) log("z".repeat(8000));
  } else if (req.path === "/endless") {
    for (;;) log("z".repeat(8000));
  } else if (req.path === "/late") {
    setTimeout(() => log("late"), 20);
  }
  return res.empty();
};

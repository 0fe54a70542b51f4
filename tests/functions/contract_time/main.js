module.exports = async ({ req, res, log }) => {
  log("begun");
  if (req.path === "/sleep")
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(req.queryString)));
  else if (req.path === "/spin") for (;;);
  else if (req.path === "/never") await new Promise(() => setInterval(() => {}, 1000));
  return res.text(String(process.pid));
};

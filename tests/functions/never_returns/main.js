module.exports = async ({ req, res, log }) => {
  log("started");
  if (req.path === "/busy") for (;;);
  if (req.path === "/sleep") await new Promise((resolve) => setTimeout(resolve, 3_600_000));
  return res.text("returned");
};

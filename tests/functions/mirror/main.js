module.exports = async ({ req, res, log, error }) => {
  log("log of", req.body);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
  error("error of", req.body);
  return res.text(req.body);
};

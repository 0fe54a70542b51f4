module.exports = async ({ req, res }) => {
  if (req.path === "/body-json") return res.json({ parsed: req.bodyJson });
  if (req.path === "/binary") return res.binary(req.bodyBinary);
  if (req.path === "/environment") return res.json(process.env);
  return res.json({
    method: req.method,
    scheme: req.scheme,
    host: req.host,
    port: req.port,
    path: req.path,
    queryString: req.queryString,
    query: req.query,
    url: req.url,
    headers: req.headers,
    body: req.body,
    bodyText: req.bodyText,
    bodyRaw: req.bodyRaw,
    bodyBytes: req.bodyBinary.length,
  });
};

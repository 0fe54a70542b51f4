// The smallest function as an ES module.
export default async ({ req, res, log }) => {
  const name = req.bodyText || req.query.name || 'world';
  log('greeting', name);
  return res.json({ message: `Hello, ${name}!`, method: req.method, path: req.path });
};

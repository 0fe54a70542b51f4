module.exports = ({ req, res }) => res.json({ hello: req.bodyJson.name });

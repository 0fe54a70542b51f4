module.exports = { other: ({ res }) => res.empty() };

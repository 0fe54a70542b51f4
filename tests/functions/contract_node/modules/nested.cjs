exports.default = { default: ({ res }) => res.text("nested") };

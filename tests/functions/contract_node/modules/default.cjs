exports.default = ({ res }) => res.text("default");

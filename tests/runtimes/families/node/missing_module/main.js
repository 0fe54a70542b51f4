require("notthereatall");

module.exports = ({ res }) => res.empty();

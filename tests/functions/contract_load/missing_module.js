require("not-there-at-all");

module.exports = () => null;

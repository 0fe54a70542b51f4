require("./sibling");

module.exports = ({ res }) => res.empty();

const beside = require("./beside");
const topLevel = require("../top_level");

module.exports = ({ res }) => res.json([beside, topLevel]);

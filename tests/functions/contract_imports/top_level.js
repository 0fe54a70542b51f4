module.exports = "top level";

module.exports = "beside";

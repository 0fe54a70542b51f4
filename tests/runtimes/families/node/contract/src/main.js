const answers = require("./answers");
const failures = require("./failures");
const logs = require("./logs");
const requests = require("./requests");

const ROUTES = { ...answers, ...failures, ...logs, ...requests };

// Whatever is not a route mirrors the request.
module.exports = async (context) => {
  if (context.req.path === "/raise") {
    context.log("called");
    throw new TypeError("went wrong");
  }
  return (ROUTES[context.req.path] ?? requests["/mirror"])(context);
};

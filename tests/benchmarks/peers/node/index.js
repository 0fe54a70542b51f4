// The function for functions-framework.
exports.hello = (request, response) => response.json({ hello: request.body.name });

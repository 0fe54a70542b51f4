// Node.js's own HTTP server.
const { createServer } = require("node:http");
createServer((request, response) => response.end("Pong")).listen(Number(process.argv[2]), "127.0.0.1");

// Deno's own HTTP server.
Deno.serve({ port: Number(Deno.args[0]), hostname: "127.0.0.1" }, () => new Response("Pong"));

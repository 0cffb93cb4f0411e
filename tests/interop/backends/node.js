// A server of ws that logs visitors in by a cookie: "node.js PORT". It prints its port.
//
// GET /login?NAME sets the cookie. /app wants it, and greets; /echo wants nothing. Both echo, and
// answer some words otherwise.
"use strict";
const http = require("http");
const { WebSocketServer } = require("ws");

const server = http.createServer((request, response) => {
  const name = request.url.split("?")[1];
  response.setHeader("Set-Cookie", `session=${name}; Path=/; HttpOnly`);
  response.setHeader("Content-Type", "text/html");
  response.end("<title>Hello</title>");
});
const sockets = new WebSocketServer({
  server,
  maxPayload: 1 << 22,
  verifyClient: (info, done) =>
    done(info.req.url !== "/app" || /session=\w/.test(info.req.headers.cookie || ""), 403, "who?"),
});

async function flood(socket, count) {
  const text = "x".repeat(65536);
  for (let number = 0; number < count; number++) {
    await new Promise((sent) => socket.send(text, sent));
  }
}

sockets.on("headers", (headers, request) => {
  if (request.url === "/app") headers.push("Set-Cookie: seen=1");
});
sockets.on("connection", (socket, request) => {
  if (request.url === "/app") {
    const { cookie, origin } = request.headers;
    const name = cookie.match(/session=(\w+)/)[1];
    socket.send(`hello ${name} at ${request.headers["x-forwarded-for"]} from ${origin}`);
  }
  socket.on("error", () => {});
  socket.on("message", (data, isBinary) => {
    const [word, number] = data.toString().split(" ");
    if (isBinary) socket.send(data);
    else if (word === "close") socket.close(4001, "asked");
    else if (word === "bytes") socket.send(Buffer.from([0, 255]));
    else if (word === "flood") flood(socket, Number(number)).catch(() => {});
    else socket.send(data.toString());
  });
});
server.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 }, () =>
  console.log(server.address().port)
);

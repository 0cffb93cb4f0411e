// Node's ws: node ws_server.js echo|broadcast PORT [--deflate] [--tls FILE]
"use strict";
const fs = require("fs");
const http = require("http");
const https = require("https");
const { parseArgs } = require("util");
const { WebSocketServer } = require("ws");

const { values, positionals } = parseArgs({
  options: { deflate: { type: "boolean", default: false }, tls: { type: "string" } },
  allowPositionals: true,
});
const [mode, port] = positionals;
const pem = values.tls && fs.readFileSync(values.tls);
const server = pem ? https.createServer({ key: pem, cert: pem }) : http.createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: values.deflate });

sockets.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, binary) => {
    if (mode === "echo") {
      socket.send(data, { binary });
    } else {
      for (const client of sockets.clients) client.send(data, { binary });
    }
  });
});

server.listen({ port: Number(port), host: "127.0.0.1", backlog: 1024 });

// Node's ws: node ws_server.js echo|broadcast PORT
"use strict";
const { WebSocketServer } = require("ws");

const [mode, port] = process.argv.slice(2);
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  perMessageDeflate: false,
});

server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, binary) => {
    if (mode === "echo") {
      socket.send(data, { binary });
    } else {
      for (const client of server.clients) client.send(data, { binary });
    }
  });
});

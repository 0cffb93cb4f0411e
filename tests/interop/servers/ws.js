// An echo of ws, which agrees on compression if it is started with "compressed". It prints its port.
"use strict";
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  maxPayload: 1 << 26,
  perMessageDeflate: process.argv[2] === "compressed",
  handleProtocols: (protocols) => (protocols.has("chat") ? "chat" : false),
  verifyClient: (info, done) => done(info.req.url !== "/refused", 401, "nope"),
});
server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => {
    if (!isBinary && data.toString() === "close") socket.close(4001, "asked");
    else if (!isBinary && data.toString() === "die") process.exit(1);
    else socket.send(data, { binary: isBinary });
  });
});
server.on("listening", () => console.log(server.address().port));

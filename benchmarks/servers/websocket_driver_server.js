// websocket-driver on Node, which speaks Hixie-76: node websocket_driver_server.js echo PORT
"use strict";
const http = require("http");
const websocket = require("websocket-driver");

const [mode, port] = process.argv.slice(2);
const server = http.createServer();
const drivers = new Set();

server.on("upgrade", (request, socket, head) => {
  const driver = websocket.http(request);
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  driver.messages.on("data", (message) => {
    if (mode === "echo") {
      driver.text(message);
    } else {
      for (const other of drivers) other.text(message);
    }
  });
  driver.on("open", () => drivers.add(driver));
  driver.on("close", () => {
    drivers.delete(driver);
    socket.end();
  });
  socket.pipe(driver.io).pipe(socket);
  driver.start();
  // What came with the head: the eight bytes that the proof is made of.
  driver.io.write(head);
});

server.listen({ port: Number(port), host: "127.0.0.1", backlog: 1024 });

// An echo of websocket-driver, in all its dialects. It prints its port.
"use strict";
const net = require("net");
const websocket = require("websocket-driver");

const server = net.createServer((connection) => {
  const driver = websocket.server({ protocols: ["chat"], maxLength: 1 << 26 });
  driver.on("connect", () => {
    if (websocket.isWebSocket(driver)) driver.start();
    else connection.end("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope");
  });
  driver.on("message", (event) => {
    if (event.data === "close") driver.close("asked", 4001);
    else if (event.data === "die") process.exit(1);
    else if (typeof event.data === "string") driver.text(event.data);
    else driver.binary(event.data);
  });
  driver.on("close", () => connection.end());
  connection.on("error", () => {});
  connection.pipe(driver.io);
  driver.io.pipe(connection);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));

// socket.io, whose servers are joined by Redis Streams: node socketio_server.js PORT REDIS_PORT
"use strict";
const { createServer } = require("http");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-streams-adapter");

const [port, redisPort] = process.argv.slice(2).map(Number);

(async () => {
  const redis = createClient({ socket: { host: "127.0.0.1", port: redisPort } });
  await redis.connect();
  const server = createServer();
  const io = new Server(server, {
    adapter: createAdapter(redis, { maxLen: 1000, onlyPlaintext: true }),
    transports: ["websocket"],
    serveClient: false,
  });
  io.on("connection", (socket) => socket.on("message", (text) => io.emit("message", text)));
  server.listen({ port, host: "127.0.0.1", backlog: 1024 });
})();

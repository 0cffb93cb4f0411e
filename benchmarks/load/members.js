// The members of one room: node members.js txhixie|socket.io MEMBERS SENDERS PORT...
//
// Members and senders are spread evenly over the ports. It prints a line when all are connected,
// and then obeys lines of input; each makes one measurement and prints it as one line of JSON:
//   full SECONDS DEPTH  so many messages are under way at any time
//   rate SECONDS RATE   so many messages are sent a second
// A message is complete when all members have it. A measurement ends when all messages are.
"use strict";
const readline = require("readline");
const WebSocket = require("ws");

const SIZE = 64;
const TOGETHER = 20; // connections that are opened at the same time
const PATIENCE = 20000; // milliseconds that anything may take

const [kind, ...numbers] = process.argv.slice(2);
const [count, senders, ...ports] = numbers.map(Number);
const isSocketIo = kind === "socket.io";
const path = isSocketIo ? "/socket.io/?EIO=4&transport=websocket" : "/broadcast";
const members = [];
const underWay = new Map(); // by number: when it was sent, and how many members miss it
let number = 0, complete = 0, latencies = [], completed = () => {};

const fail = (text) => {
  console.error(`members: ${text}`);
  process.exit(1);
};
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function received(data) {
  const start = data.indexOf(35) + 1; // #
  const message = underWay.get(parseInt(data.latin1Slice(start, start + 8), 10));
  if (!message) fail(`nobody waits for ${data}`);
  latencies.push(performance.now() - message.time);
  if (--message.missing === 0) {
    underWay.delete(message.number);
    complete++;
    completed();
  }
}

function send() {
  const sender = members[++number % senders];
  const text = `#${String(number).padStart(8, "0")}`.padEnd(SIZE, ".");
  underWay.set(number, { number, time: performance.now(), missing: count });
  sender.send(isSocketIo ? `42["message","${text}"]` : text);
}

// One attempt to become a member.
function attempt(port) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { perMessageDeflate: false });
    const isMember = () => {
      socket.removeListener("error", reject);
      socket.on("error", (error) => fail(error.message));
      socket.on("close", () => fail("a connection was closed"));
      resolve(socket);
    };
    socket.on("error", reject);
    if (!isSocketIo) socket.on("open", isMember);
    socket.on("message", (data) => {
      if (data.indexOf(35) >= 0) return received(data);
      if (!isSocketIo) return; // somebody has come
      const type = data.toString().slice(0, 2);
      if (type[0] === "0") socket.send("40");
      else if (type === "40") isMember();
      else if (type[0] === "2") socket.send("3");
    });
  });
}

async function member(index) {
  const end = performance.now() + PATIENCE;
  for (;;) {
    try {
      members[index] = await attempt(ports[index % ports.length]);
      return;
    } catch (error) {
      // A node that is not connected to Redis yet says 503.
      if (performance.now() > end) fail(error.message);
      await pause(50);
    }
  }
}

async function settled() {
  const end = performance.now() + PATIENCE;
  while (underWay.size) {
    if (performance.now() > end) fail(`${underWay.size} messages are missing`);
    await pause(1);
  }
}

const loads = {
  async full(seconds, depth) {
    completed = send;
    for (let i = 0; i < depth; i++) send();
    await pause(1000 * seconds);
  },
  async rate(seconds, rate) {
    const start = performance.now();
    for (let sent = 0; sent < seconds * rate; sent++) {
      const due = start + (1000 * sent) / rate;
      while (performance.now() < due) await pause(due - performance.now());
      send();
    }
  },
};

async function measure(line) {
  const [load, seconds, amount] = line.split(" ");
  complete = 0;
  latencies = [];
  const start = performance.now();
  await loads[load](Number(seconds), Number(amount));
  completed = () => {};
  await settled();
  const wall = (performance.now() - start) / 1000;
  const sorted = Float64Array.from(latencies).sort();
  const at = (part) => sorted[Math.ceil(part * sorted.length) - 1] / 1000;
  return { messages: complete, wall, p50: at(0.5), p99: at(0.99) };
}

(async () => {
  for (let first = 0; first < count; first += TOGETHER) {
    const last = Math.min(first + TOGETHER, count);
    await Promise.all(Array.from({ length: last - first }, (_, i) => member(first + i)));
  }
  console.log("{}");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await measure(line)));
  }
})();

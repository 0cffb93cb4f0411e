// The WebSocket belongs to this script: its origin is file://.
var client = require('./client');

phantom.onError = client.fail;
window.callPhantom = client.print;
client.run(client.plan());

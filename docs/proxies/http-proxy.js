// Save as proxy.js, then: npm install http-proxy && node proxy.js

const http = require('http');
const httpProxy = require('http-proxy');

const proxy = httpProxy.createProxyServer({
    target: 'http://127.0.0.1:3400',
    // What --trust-proxy believes.
    xfwd: true,
    agent: new http.Agent({keepAlive: true}),
});
const server = http.createServer((request, response) => proxy.web(request, response));
server.on('upgrade', (request, socket, head) => proxy.ws(request, socket, head));
proxy.on('error', (error, request, response) => {
    console.error(error.message);
    response.destroy();
});
server.listen(80, '0.0.0.0');

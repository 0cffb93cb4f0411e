// Loads a page, then opens a WebSocket with the same agent, and sees some texts echoed.
// Arguments: the URL of the page, the URL of the WebSocket, and the texts.

const http = require('http');
const WebSocket = require('ws');

const [page, url, ...texts] = process.argv.slice(2);
const agent = new http.Agent({keepAlive: true});

const open = () => {
    const socket = new WebSocket(url, {agent});
    let received = 0;
    const proceed = () => {
        if (received < texts.length) socket.send(texts[received]);
        else socket.close(4000, 'bye');
    };
    socket.on('open', proceed);
    socket.on('message', (data) => {
        console.log('text: ' + data);
        received += 1;
        proceed();
    });
    socket.on('error', (error) => console.log('error: ' + error.message));
    socket.on('close', (code) => {
        console.log('close: ' + code);
        agent.destroy();
    });
};

http.get(page, {agent}, (response) => {
    response.on('data', (data) => console.log('page: ' + data));
    // The agent has the connection back a moment later.
    response.on('close', () => setImmediate(open));
});

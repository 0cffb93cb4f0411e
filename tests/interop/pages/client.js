// What a WebSocket client of the tests does. The function runs inside the opened page
// or in the script itself, so it may refer to nothing outside of it.
//
// plan.url: where to connect; plan.subprotocol: what to ask for, if anything; plan.steps: what to do, in order, each once `after`
// messages were received: send the texts in `send`, then close if `close` is set.
exports.run = function (plan) {
    // The browser takes an empty subprotocol for a wrong one.
    var socket = plan.subprotocol ? new WebSocket(plan.url, plan.subprotocol)
                                  : new WebSocket(plan.url);
    var received = 0, steps = plan.steps;

    function report(kind, data) {
        window.callPhantom({kind: kind, at: new Date().getTime() / 1000, data: data});
    }

    function proceed() {
        var step;
        while (steps.length && steps[0].after <= received) {
            step = steps.shift();
            (step.send || []).forEach(function (text) { socket.send(text); });
            if (step.close) { socket.close(); }
        }
    }

    socket.onopen = function () {
        report('open', location.protocol + '//' + location.host);
        proceed();
    };
    socket.onmessage = function (event) {
        received += 1;
        report('message', event.data);
        proceed();
    };
    socket.onerror = function () { report('error', ''); };
    socket.onclose = function () { report('close', ''); };
};

// One event, one line. A failure of a script is an event, too.
exports.print = function (event) { console.log(JSON.stringify(event)); };

exports.fail = function (message) {
    exports.print({kind: 'failure', at: new Date().getTime() / 1000, data: message});
    phantom.exit(1);
};

exports.plan = function () { return JSON.parse(require('system').stdin.read()); };

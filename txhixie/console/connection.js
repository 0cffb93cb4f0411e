// The connection: opening, closing, and coming back when it is lost.
(function (page) {
    'use strict';

    var FIRST_DELAY = 1000;       // ms until the first reconnection, at most
    var LONGEST_DELAY = 30000;    // ms between two reconnections, at most
    var STABLE = 5000;            // ms a connection lasts to be called a success
    var ASK_INTERVAL = 200;       // ms between two questions how a connection ended
    var ASK_TIMES = 10;           // questions about one end
    var NO_CODE = {1005: 1, 1006: 1};  // close codes that no peer sends
    var COME_AGAIN = {1012: 1, 1013: 1};  // close codes that ask a client to come back later

    var LABELS = {
        idle: 'Disconnected',
        connecting: 'Connecting\u2026',
        open: 'Connected',
        closing: 'Disconnecting\u2026',
        waiting: 'Connection lost'
    };

    var Socket = window.WebSocket || window.MozWebSocket;
    var element = page.element, setText = page.setText, addLine = page.addLine;
    var path = element('path'), subprotocol = element('subprotocol');
    var toggle = element('toggle'), reconnect = element('reconnect');

    // idle, connecting, open, closing, or waiting for the next try.
    var state = 'idle';
    var socket = null, dialect = '', token = '', tries = 0, openedAt = 0;
    var nextTry = 0, retryTimer = null;
    // What the parts that send want to know: called with the new state, and with each text and the
    // entry of a room that it is, or null.
    var observers = [], receiver = null;

    function notify() {
        observers.forEach(function (observer) {
            observer(state);
        });
    }

    function setState(changed, label) {
        var idle = changed === 'idle';
        state = changed;
        element('state-box').className = 'state ' + state;
        setText('state', label || LABELS[state]);
        if (state !== 'waiting') {
            setText('next', '');
        }
        toggle.textContent = idle ? 'Connect' : state === 'open' ? 'Disconnect' : 'Cancel';
        toggle.className = idle ? 'primary' : '';
        toggle.disabled = !Socket;
        path.readOnly = subprotocol.readOnly = !idle;
        element('room').disabled = !idle;
        page.each(element('presets').getElementsByTagName('button'), function (preset) {
            preset.disabled = !idle;
        });
        element('retry').hidden = state !== 'waiting';
        if (state !== 'open') {
            setText('dialect', '\u2013');
            setText('agreed', '\u2013');
        }
        notify();
    }

    // What the server says about our last opening handshake. Calls done with what getJSON gives.
    function askServer(done) {
        page.getJSON('/console/connection?token=' + token, done);
    }

    function askDialect() {
        var asking = socket;
        askServer(function (answer) {
            if (socket === asking && state === 'open') {
                dialect = (answer && answer.dialect) || '';
                setText('dialect', dialect || 'not known');
                notify();
            }
        });
    }

    // Calls done with a sentence: why there is no connection. A browser does not say it.
    function askReason(done) {
        if (!page.readAddress(path.value).isOwn) {
            done('A browser does not say why, and only the other server knows.');
            return;
        }
        askServer(function (answer) {
            if (!answer) {
                done('The server does not answer plain HTTP either.');
            } else if (answer.refused) {
                done('The server refused it: ' + answer.refused.status + ', ' +
                    answer.refused.text + '.');
            } else {
                done('The server did not refuse it: the browser ended it, or a proxy.');
            }
        });
    }

    function ending(event) {
        var words = [];
        if (event && event.code) {
            words.push('code ' + event.code);
        }
        if (event && event.reason) {
            words.push('\u201c' + event.reason + '\u201d');
        }
        return words.length ? ' (' + words.join(', ') + ')' : '';
    }

    function received(data) {
        if (typeof data === 'string') {
            addLine('received', data);
        } else if (window.Uint8Array && data instanceof ArrayBuffer) {
            addLine('received', '', new Uint8Array(data));
        } else {
            addLine('received', 'binary, ' + page.plural(data.size || 0, 'byte', 'bytes'));
        }
        if (typeof data === 'string') {
            receiver(data, page.rooms.take(data));
        }
    }

    function connect() {
        var where = page.readAddress(path.value), wanted = subprotocol.value.trim(), url, made;
        if (where.problem) {
            addLine('system', 'This cannot be connected to: ' + where.problem);
            setState('idle');
            return;
        }
        url = page.rooms.resume(where.url);
        addLine('system', 'Connecting to ' + url + (wanted ? ' for ' + wanted : ''));
        token = page.randomToken();
        if (where.isOwn) {
            // By it the server tells us its view of this connection.
            url = page.withParameters(url, {console: token});
        }
        try {
            made = wanted ? new Socket(url, wanted) : new Socket(url);
        } catch (error) {
            addLine('system', 'This cannot be connected to: ' + error.message);
            setState('idle');
            return;
        }
        socket = made;
        dialect = '';
        if ('binaryType' in made) {
            made.binaryType = 'arraybuffer';
        }
        made.onopen = function () {
            if (socket === made) {
                opened(where.isOwn);
            }
        };
        made.onmessage = function (event) {
            if (socket === made) {
                received(event.data);
            }
        };
        made.onclose = function (event) {
            if (socket === made) {
                closed(event);
            }
        };
        setState('connecting');
    }

    function opened(isOwn) {
        var focused = document.activeElement;
        openedAt = page.now();
        setText('dialect', isOwn ? '\u2026' : 'not known');
        setState('open');
        setText('agreed', socket.protocol || 'none');
        addLine('system', 'Connected');
        // What one does next is to write, unless that would throw a keyboard over the screen.
        if ((focused === path || focused === subprotocol || focused === toggle) &&
                !(window.matchMedia && window.matchMedia('(pointer: coarse)').matches)) {
            element('text').focus();
        }
        if (isOwn) {
            askDialect();
        }
    }

    // An open connection ended, in good order or not.
    function ended(isOrderly, event) {
        if (isOrderly && !COME_AGAIN[event.code]) {
            addLine('system', 'Closed by the server' + ending(event));
            setState('idle', 'Closed by the server');
        } else {
            addLine('system', 'Connection lost' + ending(event));
            wait(page.now() - openedAt >= STABLE);
        }
    }

    // What is known of an end, like an event.
    function known(closed) {
        return closed && !NO_CODE[closed.code] ? closed : {};
    }

    // Old browsers do not know how a connection ended, but the server does, a moment later.
    function askHowItEnded(done, asked) {
        var asking = token;
        setState('waiting', 'Ended');
        askServer(function (answer) {
            var closed = answer && answer.closed;
            if (state !== 'waiting' || token !== asking) {
                return;
            }
            if (answer && !closed && !(asked >= ASK_TIMES)) {
                retryTimer = setTimeout(function () {
                    askHowItEnded(done, (asked || 0) + 1);
                }, ASK_INTERVAL);
            } else {
                done(!!closed && closed.byServer, known(closed));
            }
        });
    }

    function closed(event) {
        var was = state;
        socket = null;
        if (was === 'closing') {
            addLine('system', 'Disconnected' + ending(event));
            setState('idle');
        } else if (was === 'open' && event && typeof event.wasClean === 'boolean') {
            ended(event.wasClean, event);
        } else if (was === 'open') {
            askHowItEnded(ended);
        } else if (!openedAt) {
            setState('idle', 'Could not connect');
            askReason(function (reason) {
                addLine('system', 'Could not connect. ' + reason);
            });
        } else {
            failed();
        }
    }

    // A reconnection failed: ask why, then wait for the next one.
    function failed() {
        var asking = token;
        setState('waiting');
        askReason(function (reason) {
            addLine('system', 'No connection. ' + reason);
            if (state === 'waiting' && token === asking) {
                wait(false);
            }
        });
    }

    // Wait twice as long as the last time, or a bit less, lest all clients come back at once.
    function wait(afterSuccess) {
        var delay;
        if (!reconnect.checked) {
            setState('idle', LABELS.waiting);
            return;
        }
        tries = afterSuccess ? 1 : tries + 1;
        delay = Math.min(LONGEST_DELAY, FIRST_DELAY * Math.pow(2, tries - 1));
        delay *= 1 - Math.random() / 2;
        nextTry = page.now() + delay;
        addLine('system', 'Next try in ' + (delay / 1000).toFixed(1) + ' s');
        setState('waiting');
        countDown();
    }

    function countDown() {
        var left = nextTry - page.now();
        clearTimeout(retryTimer);
        if (left <= 0) {
            connect();
        } else {
            setText('next', '\u00b7 next try in ' + Math.ceil(left / 1000) + ' s');
            retryTimer = setTimeout(countDown, Math.min(left, 200));
        }
    }

    function disconnect() {
        clearTimeout(retryTimer);
        if (state === 'waiting') {
            addLine('system', 'No further tries');
            setState('idle');
        } else if (socket && state !== 'closing') {
            setState('closing');
            socket.close();
        }
    }

    element('connection').onsubmit = function () {
        if (state === 'idle') {
            if (Socket) {
                tries = openedAt = 0;
                page.rooms.forget();
                page.remember('path', path.value);
                connect();
            }
        } else if (document.activeElement !== path && document.activeElement !== subprotocol) {
            disconnect();
        }
        return false;
    };
    element('retry').onclick = function () {
        if (state === 'waiting') {
            toggle.focus();
            clearTimeout(retryTimer);
            connect();
        }
    };
    reconnect.onclick = function () {
        if (!reconnect.checked && state === 'waiting') {
            disconnect();
        }
    };
    element('options').onclick = function () {
        var form = element('connection'), expanded = form.className === 'expanded';
        form.className = expanded ? '' : 'expanded';
        element('options').setAttribute('aria-expanded', expanded ? 'false' : 'true');
        page.followLog();
    };

    page.connection = {
        isPossible: !!Socket,
        state: function () {
            return state;
        },
        start: function () {
            setState('idle');
        },
        // Old browsers tell by false that they did not send.
        send: function (data) {
            if (socket.send(data) === false) {
                throw new Error('the connection is not open');
            }
        },
        sendsBytes: function () {
            return state === 'open' && !!window.Uint8Array && 'binaryType' in socket &&
                !/^hixie-/.test(dialect);
        },
        onState: function (observer) {
            observers.push(observer);
        },
        onText: function (wanted) {
            receiver = wanted;
        }
    };
}(txhixie));

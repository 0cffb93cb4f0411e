// What is sent: texts, bytes, and pings; and what was sent before.
(function (page) {
    'use strict';

    var HISTORY = 100;            // messages that the arrow keys lead back to
    var PING_TIMEOUT = 5000;      // ms that the echo of a ping may take
    var LARGEST_HEIGHT = 140;     // pixels that the text area grows to
    var KEYS = {enter: 13, up: 38, down: 40, composing: 229};
    var ALONE = {
        idle: 'Not sent: there is no connection. Press Connect first.',
        connecting: 'Not sent: the connection is not open yet.',
        closing: 'Not sent: the connection is closing.',
        waiting: 'Not sent: the connection is lost. The message stays here until it is back.'
    };

    var element = page.element, addLine = page.addLine, connection = page.connection;
    var text = element('text'), format = element('format');
    // Sent messages, the oldest first; where the arrow keys are in them; what was typed before.
    var history = [], place = 0, draft = '';
    // The ping that has no answer yet: {text, sentAt, timer}.
    var pinged = null;

    function hint(words) {
        page.setText('hint', words);
        element('keys').hidden = !!words;
        page.followLog();
    }

    // As high as the text, within limits.
    function fit() {
        text.style.height = 'auto';
        text.style.height = Math.min(
            LARGEST_HEIGHT, window.innerHeight / 6, text.scrollHeight + 2) + 'px';
        page.followLog();
    }

    function setMessage(value) {
        text.value = value;
        text.selectionStart = text.selectionEnd = value.length;
        fit();
    }

    // Bytes

    function fromHex(typed) {
        var digits = typed.replace(/0x/gi, '').replace(/[\s,:;]/g, ''), bytes, i;
        if (!/^[\da-f]*$/i.test(digits) || digits.length % 2) {
            throw new Error('hex bytes have two digits each, such as 00 7f ff');
        }
        bytes = new Uint8Array(digits.length / 2);
        for (i = 0; i < bytes.length; i += 1) {
            bytes[i] = parseInt(digits.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }

    function fromBase64(typed) {
        var characters, bytes, i;
        try {
            characters = window.atob(typed.replace(/\s/g, '').replace(/-/g, '+').replace(/_/g, '/'));
        } catch (ignored) {
            throw new Error('this is not base64');
        }
        bytes = new Uint8Array(characters.length);
        for (i = 0; i < bytes.length; i += 1) {
            bytes[i] = characters.charCodeAt(i);
        }
        return bytes;
    }

    // Sending

    function remember(value) {
        if (value && history[history.length - 1] !== value) {
            history.push(value);
            history.splice(0, history.length - HISTORY);
        }
        place = history.length;
        draft = '';
    }

    function send() {
        var value = text.value, bytes = null;
        if (connection.state() !== 'open') {
            hint(ALONE[connection.state()]);
            return;
        }
        try {
            if (format.value !== 'text') {
                bytes = format.value === 'hex' ? fromHex(value) : fromBase64(value);
            }
            connection.send(bytes ? bytes.buffer : value);
        } catch (error) {
            hint('Not sent: ' + error.message + '.');
            return;
        }
        addLine('sent', value, bytes);
        remember(value);
        setMessage('');
        hint('');
        text.focus();
    }

    // The arrow keys. Returns whether there was a message in that direction.
    function travel(step) {
        var wanted = place + step;
        if (wanted < 0 || wanted > history.length) {
            return false;
        }
        if (place === history.length) {
            draft = text.value;
        }
        place = wanted;
        setMessage(place === history.length ? draft : history[place]);
        return true;
    }

    function key(event) {
        var isPlain = !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey;
        var before = text.value.substring(0, text.selectionStart);
        var after = text.value.substring(text.selectionEnd);
        // An input method takes Enter to accept what it offers.
        if (!isPlain || event.isComposing || event.keyCode === KEYS.composing) {
            return true;
        }
        if (event.keyCode === KEYS.enter) {
            send();
            return false;
        }
        // Within several lines, the arrow keys do what they always do.
        if (event.keyCode === KEYS.up && before.indexOf('\n') < 0) {
            return !travel(-1);
        }
        if (event.keyCode === KEYS.down && after.indexOf('\n') < 0) {
            return !travel(1);
        }
        return true;
    }

    // Pings. A page cannot send those of the protocol, so a message has to come back.

    function clock() {
        return window.performance && window.performance.now ?
            window.performance.now() : page.now();
    }

    function endPing(words) {
        clearTimeout(pinged.timer);
        pinged = null;
        page.setText('roundtrip', words);
        element('ping').disabled = connection.state() !== 'open';
    }

    function ping() {
        var sending = 'ping ' + page.randomToken().substring(0, 8);
        try {
            connection.send(sending);
        } catch (error) {
            hint('Not sent: ' + error.message + '.');
            return;
        }
        addLine('sent', sending);
        pinged = {text: sending, sentAt: clock()};
        pinged.timer = setTimeout(function () {
            endPing('no echo');
            addLine('system', 'No echo within ' + PING_TIMEOUT / 1000 + ' s: nothing on this ' +
                'path sends messages back');
        }, PING_TIMEOUT);
        element('ping').disabled = true;
        page.setText('roundtrip', '\u2026');
    }

    // An echo is the message, or ends with it, as it does in a broadcast.
    function received(message, entry) {
        var from = pinged ? message.length - pinged.text.length : -1;
        if (pinged && (entry ? entry.text === pinged.text :
                from >= 0 && message.lastIndexOf(pinged.text) === from)) {
            endPing(page.short(Math.round((clock() - pinged.sentAt) * 10) / 10) + ' ms');
        }
    }

    function stateChanged(state) {
        var isOpen = state === 'open', isBinary = connection.sendsBytes();
        element('ping').disabled = !isOpen || pinged !== null;
        page.each(format.options, function (option) {
            option.disabled = isOpen && option.value !== 'text' && !isBinary;
        });
        if (isOpen && !isBinary && format.value !== 'text') {
            format.value = 'text';
            hint('Text only: this dialect or this browser cannot send bytes.');
        } else if (isOpen) {
            hint('');
        } else {
            if (pinged) {
                endPing('\u2013');
            }
            page.setText('roundtrip', '\u2013');
        }
    }

    element('composer').onsubmit = function () {
        send();
        return false;
    };
    element('ping').onclick = ping;
    text.onkeydown = key;
    text.oninput = fit;
    connection.onState(stateChanged);
    connection.onText(received);
}(txhixie));

// The console page. This is ECMAScript 5 without Function.prototype.bind, flexible enough for a
// WebKit of 2011 and a browser of today alike. Text from the network goes into text nodes only.
(function () {
    'use strict';

    var LOG_LINES = 500;          // lines kept in the log
    var LINE_LENGTH = 10000;      // characters of a message that are shown
    var LOG_INTERVAL = 100;       // ms between two additions to the log
    var FIRST_DELAY = 1000;       // ms until the first reconnection, at most
    var LONGEST_DELAY = 30000;    // ms between two reconnections, at most
    var STABLE = 5000;            // ms a connection lasts to be called a success
    var POLL_INTERVAL = 1000;     // ms between two looks at the statistics
    var POLL_TIMEOUT = 5000;      // ms an answer to that may take
    var SPAN = 60000;             // ms shown in a chart
    var GAP = 3500;               // ms without numbers that interrupt a chart's lines
    var LABEL_INTERVAL = 15000;   // ms between two updates of a chart's description

    var Socket = window.WebSocket || window.MozWebSocket;

    // Small things

    function element(id) {
        return document.getElementById(id);
    }

    function setText(id, text) {
        if (element(id).textContent !== text) {
            element(id).textContent = text;
        }
    }

    function now() {
        return new Date().getTime();
    }

    function pad(number, width) {
        var text = String(number);
        while (text.length < width) {
            text = '0' + text;
        }
        return text;
    }

    function clock(date) {
        return pad(date.getHours(), 2) + ':' + pad(date.getMinutes(), 2) + ':' +
            pad(date.getSeconds(), 2) + '.' + pad(date.getMilliseconds(), 3);
    }

    // 1234567 as 1 234 567, with thin spaces that do not break.
    function grouped(number) {
        return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, '\u202f');
    }

    // A number with as many digits as one wants to read.
    function short(number) {
        if (number >= 100 || number === Math.round(number)) {
            return grouped(number);
        }
        return number.toFixed(number >= 10 ? 1 : 2).replace(/\.?0+$/, '');
    }

    function asBytes(number) {
        var units = ['B', 'kB', 'MB', 'GB', 'TB'];
        while (number >= 999.5 && units.length > 1) {
            number /= 1000;
            units.shift();
        }
        return short(number) + '\u00a0' + units[0];
    }

    function plural(number, one, many) {
        return grouped(number) + ' ' + (number === 1 ? one : many);
    }

    function duration(seconds) {
        var minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
        if (minutes < 1) {
            return Math.floor(seconds) + ' s';
        }
        if (hours < 1) {
            return minutes + ' min';
        }
        if (hours < 48) {
            return hours + ' h ' + minutes % 60 + ' min';
        }
        return Math.floor(hours / 24) + ' days';
    }

    function randomToken() {
        var values, token = '', i;
        if (window.crypto && window.crypto.getRandomValues && window.Uint8Array) {
            values = new Uint8Array(16);
            window.crypto.getRandomValues(values);
        }
        for (i = 0; i < 16; i += 1) {
            token += pad((values ? values[i] : Math.floor(Math.random() * 256)).toString(16), 2);
        }
        return token;
    }

    // Calls done with the object, or with null if there is none to be had in time.
    function getJSON(url, done) {
        var request = new XMLHttpRequest(), over = false, timer;

        function finish(result) {
            if (!over) {
                over = true;
                clearTimeout(timer);
                done(result);
            }
        }

        request.onreadystatechange = function () {
            var result = null;
            if (request.readyState === 4) {
                try {
                    result = request.status === 200 ? JSON.parse(request.responseText) : null;
                } catch (ignored) {
                    result = null;
                }
                finish(result);
            }
        };
        timer = setTimeout(function () {
            finish(null);
            request.abort();
        }, POLL_TIMEOUT);
        request.open('GET', url, true);
        request.send(null);
    }

    // The log

    var log = element('log'), lines = [], leftOut = 0, logTimer = null;

    function part(name, text) {
        var span = document.createElement('span');
        span.className = name;
        span.appendChild(document.createTextNode(text));
        return span;
    }

    function lineElement(line) {
        var made = document.createElement('div'), text = line.text, shown = text;
        if (shown.length > LINE_LENGTH) {
            // Not between the two halves of a character.
            shown = shown.substring(0, LINE_LENGTH).replace(/[\ud800-\udbff]$/, '');
        }
        made.className = 'line ' + line.kind;
        made.appendChild(part('time', clock(line.time)));
        made.appendChild(document.createTextNode(' '));
        made.appendChild(part('kind', line.kind));
        made.appendChild(document.createTextNode(' '));
        made.appendChild(text ? part('text', shown) : part('text empty', 'empty message'));
        if (shown !== text) {
            made.lastChild.appendChild(
                part('more', ' \u2026 ' + grouped(text.length) + ' characters in all'));
        }
        return made;
    }

    function showLines() {
        var atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
        var fragment = document.createDocumentFragment(), before;
        if (leftOut) {
            lines.unshift({
                kind: 'system',
                text: plural(leftOut, 'line', 'lines') + ' left out: too many at once',
                time: lines[0].time
            });
            leftOut = 0;
        }
        lines.forEach(function (line) {
            fragment.appendChild(lineElement(line));
        });
        lines = [];
        log.appendChild(fragment);
        before = log.scrollHeight;
        while (log.childNodes.length > LOG_LINES) {
            log.removeChild(log.firstChild);
        }
        // Follow the newest line, or hold still what is being read.
        log.scrollTop = atEnd ? log.scrollHeight : log.scrollTop - (before - log.scrollHeight);
    }

    function showLinesSoon() {
        logTimer = null;
        if (lines.length) {
            showLines();
            logTimer = setTimeout(showLinesSoon, LOG_INTERVAL);
        }
    }

    // kind: sent, received or system.
    function addLine(kind, text) {
        lines.push({kind: kind, text: text, time: new Date()});
        if (lines.length >= LOG_LINES) {
            lines.shift();
            leftOut += 1;
        }
        if (logTimer === null) {
            showLinesSoon();
        }
    }

    element('clear').onclick = function () {
        lines = [];
        leftOut = 0;
        while (log.firstChild) {
            log.removeChild(log.firstChild);
        }
    };

    // The connection. Its state: idle, connecting, open, closing, or waiting for the next try.

    var LABELS = {
        idle: 'Disconnected',
        connecting: 'Connecting\u2026',
        open: 'Connected',
        closing: 'Disconnecting\u2026',
        waiting: 'Connection lost'
    };
    var state = 'idle', socket = null, tries = 0, openedAt = 0, nextTry = 0, retryTimer = null;
    var path = element('path'), subprotocol = element('subprotocol'), message = element('text');
    var toggle = element('toggle'), reconnect = element('reconnect');
    var presets = element('presets').getElementsByTagName('button');

    function each(list, visit) {
        Array.prototype.forEach.call(list, visit);
    }

    function setState(changed) {
        var idle = changed === 'idle';
        state = changed;
        element('state-box').className = 'state ' + state;
        setText('state', LABELS[state]);
        if (state !== 'waiting') {
            setText('next', '');
        }
        toggle.textContent = idle ? 'Connect' : state === 'open' ? 'Disconnect' : 'Cancel';
        toggle.className = idle ? 'primary' : '';
        toggle.disabled = !Socket;
        path.readOnly = subprotocol.readOnly = !idle;
        each(presets, function (preset) {
            preset.disabled = !idle;
        });
        element('retry').hidden = state !== 'waiting';
        element('send').disabled = state !== 'open';
        if (state !== 'open') {
            setText('dialect', '\u2013');
            setText('agreed', '\u2013');
        }
    }

    function showPreset() {
        each(presets, function (preset) {
            var chosen = preset.getAttribute('data-path') === path.value;
            preset.setAttribute('aria-pressed', chosen ? 'true' : 'false');
        });
    }

    // The address without and with the token by which the server tells us its view of us.
    function address() {
        var target = path.value.trim().split('#')[0];
        if (target.charAt(0) !== '/') {
            target = '/' + target;
        }
        return (location.protocol === 'https:' ? 'wss://' : 'ws://') + location.host + target;
    }

    function withToken(url, token) {
        return url + (url.indexOf('?') < 0 ? '?' : '&') + 'console=' + token;
    }

    function askDialect(token) {
        var asking = socket;
        getJSON('/console/dialect?token=' + token, function (answer) {
            if (socket === asking && state === 'open') {
                setText('dialect', (answer && answer.dialect) || 'not known');
            }
        });
    }

    function describe(data) {
        var size = typeof data === 'string' ? -1 : data && (data.byteLength || data.size || 0);
        return size < 0 ? data : 'binary, ' + plural(size, 'byte', 'bytes');
    }

    function ending(event) {
        var words = [];
        if (event && event.code) {
            words.push('code ' + event.code);
        }
        if (event && event.reason) {
            words.push('\u201c' + event.reason + '\u201d');
        }
        if (event && event.wasClean === false) {
            words.push('not clean');
        }
        return words.length ? ' (' + words.join(', ') + ')' : '';
    }

    function connect() {
        var url = address(), wanted = subprotocol.value.trim(), token = randomToken(), made;
        addLine('system', 'Connecting to ' + url + (wanted ? ' for ' + wanted : ''));
        try {
            made = wanted ?
                new Socket(withToken(url, token), wanted) : new Socket(withToken(url, token));
        } catch (error) {
            addLine('system', 'This cannot be connected to: ' + error.message);
            setState('idle');
            return;
        }
        socket = made;
        if ('binaryType' in made) {
            made.binaryType = 'arraybuffer';
        }
        made.onopen = function () {
            if (socket === made) {
                opened(token);
            }
        };
        made.onmessage = function (event) {
            if (socket === made) {
                addLine('received', describe(event.data));
            }
        };
        made.onclose = function (event) {
            if (socket === made) {
                closed(event);
            }
        };
        setState('connecting');
    }

    function opened(token) {
        var focused = document.activeElement;
        openedAt = now();
        setState('open');
        setText('dialect', '\u2026');
        setText('agreed', socket.protocol || 'none');
        addLine('system', 'Connected');
        // What one does next is to write, unless that would throw a keyboard over the screen.
        if ((focused === path || focused === subprotocol || focused === toggle) &&
                !(window.matchMedia && window.matchMedia('(pointer: coarse)').matches)) {
            message.focus();
        }
        askDialect(token);
    }

    function closed(event) {
        var was = state;
        socket = null;
        if (was === 'closing') {
            addLine('system', 'Disconnected' + ending(event));
            setState('idle');
        } else if (was === 'connecting' && !openedAt) {
            addLine('system', 'Could not connect' + ending(event) + '. The server is not there, ' +
                'or refused ' + (subprotocol.value.trim() ? 'the path, the subprotocol' :
                'the path') + ' or this page\u2019s origin.');
            setState('idle');
        } else {
            addLine('system', (was === 'open' ? 'Connection lost' : 'No connection') +
                ending(event));
            wait(was === 'open' && now() - openedAt >= STABLE);
        }
    }

    // Wait twice as long as the last time, or a bit less, lest all clients come back at once.
    function wait(afterSuccess) {
        var delay;
        if (!reconnect.checked) {
            setState('idle');
            return;
        }
        tries = afterSuccess ? 1 : tries + 1;
        delay = Math.min(LONGEST_DELAY, FIRST_DELAY * Math.pow(2, tries - 1));
        delay *= 1 - Math.random() / 2;
        nextTry = now() + delay;
        addLine('system', 'Next try in ' + (delay / 1000).toFixed(1) + ' s');
        setState('waiting');
        countDown();
    }

    function countDown() {
        var left = nextTry - now();
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

    function send() {
        var text = message.value;
        try {
            // Old browsers tell by false that they did not send.
            if (socket.send(text) === false) {
                throw new Error('the connection is not open');
            }
        } catch (error) {
            addLine('system', 'Not sent: ' + error.message);
            return;
        }
        addLine('sent', text);
        message.value = '';
        message.focus();
    }

    element('connection').onsubmit = function () {
        if (state === 'idle') {
            if (Socket) {
                tries = openedAt = 0;
                connect();
            }
        } else if (document.activeElement !== path && document.activeElement !== subprotocol) {
            disconnect();
        }
        return false;
    };
    element('composer').onsubmit = function () {
        if (state === 'open') {
            send();
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
    path.oninput = showPreset;
    each(presets, function (preset) {
        preset.onclick = function () {
            path.value = preset.getAttribute('data-path');
            showPreset();
        };
    });

    // Charts. Their colours are those of elements beside them, so that the style sheet has them all.

    function colour(selector) {
        return window.getComputedStyle(document.querySelector(selector), null).color;
    }

    // The next of 1, 2, 5, 10, 20, 50 ... that is not less.
    function roundedUp(value, least) {
        var power = Math.pow(10, Math.floor(Math.log(Math.max(value, least)) / Math.LN10 + 1e-9));
        var digit = Math.max(value, least) / power;
        return power * (digit > 5 ? 10 : digit > 2 ? 5 : digit > 1 ? 2 : 1);
    }

    // name: of the sums in the statistics; format: a number as text; least: the lowest scale.
    function Chart(name, format, least) {
        this.name = name;
        this.format = format;
        this.least = least;
        this.canvas = element(name + '-chart');
        this.title = element(name + '-rate').textContent;
        this.describedAt = 0;
    }

    Chart.prototype.draw = function (samples, time) {
        var canvas = this.canvas, context = canvas.getContext('2d'), name = this.name;
        var ratio = window.devicePixelRatio || 1;
        var width = canvas.clientWidth, height = canvas.clientHeight;
        var left = 52, right = width - 1, top = 8, bottom = height - 20;
        var ink = colour('.legend'), line = colour('.chart'), scale;
        var values = samples.map(function (sample) {
            return Math.max(sample[name].received, sample[name].sent);
        });
        scale = roundedUp(Math.max.apply(null, values.concat(0)), this.least);

        function x(sample) {
            return right - (time - sample.time) / SPAN * (right - left);
        }

        function y(value) {
            return bottom - value / scale * (bottom - top);
        }

        // The runs of samples without a gap, each as a path.
        function trace(direction, area) {
            var run = [], previous = null;

            function finish() {
                if (!run.length) {
                    return;
                }
                context.beginPath();
                if (area) {
                    context.moveTo(x(run[0]), bottom);
                }
                run.forEach(function (sample, index) {
                    context[index || area ? 'lineTo' : 'moveTo'](
                        x(sample), y(sample[name][direction]));
                });
                if (area) {
                    context.lineTo(x(run[run.length - 1]), bottom);
                    context.fill();
                } else {
                    context.stroke();
                }
                run = [];
            }

            samples.forEach(function (sample) {
                if (previous && sample.time - previous.time > GAP) {
                    finish();
                }
                run.push(sample);
                previous = sample;
            });
            finish();
        }

        if (!width) {
            return;
        }
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.font = '12px ' + window.getComputedStyle(document.body, null).fontFamily;
        context.lineWidth = 1;
        context.textBaseline = 'middle';
        context.textAlign = 'right';
        [0, 0.5, 1].forEach(function (part) {
            var at = Math.round(bottom - part * (bottom - top)) + 0.5;
            context.strokeStyle = line;
            context.beginPath();
            context.moveTo(left, at);
            context.lineTo(right, at);
            context.stroke();
            context.fillStyle = ink;
            context.fillText(this.format(part * scale), left - 8, at);
        }, this);
        context.textBaseline = 'alphabetic';
        context.fillText('now', right, height - 4);
        context.textAlign = 'center';
        context.fillText('30 s', (left + right) / 2, height - 4);
        context.textAlign = 'left';
        context.fillText('60 s ago', left, height - 4);

        context.save();
        context.beginPath();
        context.rect(left, 0, right - left + 1, height);
        context.clip();
        context.lineJoin = 'round';
        context.fillStyle = context.strokeStyle = colour('.in .swatch');
        context.globalAlpha = 0.16;
        trace('received', true);
        context.globalAlpha = 1;
        context.lineWidth = 2;
        trace('received', false);
        context.strokeStyle = colour('.out .swatch');
        context.lineWidth = 1.5;
        if (context.setLineDash) {
            context.setLineDash([4, 3]);
        }
        trace('sent', false);
        context.restore();
    };

    // Tell in words what the chart shows, seldom enough to be listened to.
    Chart.prototype.describe = function (samples, time) {
        var name = this.name, format = this.format, latest = samples[samples.length - 1];

        function words(label, direction) {
            var most = Math.max.apply(null, samples.map(function (sample) {
                return sample[name][direction];
            }));
            return label + ' ' + format(latest[name][direction]) + ', at most ' + format(most);
        }

        if (latest && time - this.describedAt >= LABEL_INTERVAL) {
            this.describedAt = time;
            this.canvas.setAttribute('aria-label', this.title + ' of the last minute: ' +
                words('in', 'received') + '; ' + words('out', 'sent'));
        }
    };

    // The statistics

    var charts = [new Chart('messages', short, 1), new Chart('bytes', asBytes, 100)];
    var samples = [], last = null, pollTimer = null, polling = false;

    function isHidden() {
        return document.hidden || document.webkitHidden || false;
    }

    function rates(sums, before, seconds) {
        return {
            received: (sums.received - before.received) / seconds,
            sent: (sums.sent - before.sent) / seconds
        };
    }

    // What happened since the last look, if it was not too long ago and of the same server.
    function takeSample(statistics, time) {
        var seconds = last && statistics.uptime - last.statistics.uptime;
        if (last && time - last.time < GAP && seconds > 0 &&
                statistics.messages.sent >= last.statistics.messages.sent) {
            samples.push({
                time: time,
                messages: rates(statistics.messages, last.statistics.messages, seconds),
                bytes: rates(statistics.bytes, last.statistics.bytes, seconds)
            });
        }
        last = {time: time, statistics: statistics};
    }

    function dialectRow(name) {
        var row = document.createElement('tr'), head = document.createElement('th');
        var share = document.createElement('td'), count = document.createElement('td');
        var bar = document.createElement('div');
        head.setAttribute('scope', 'row');
        head.appendChild(document.createTextNode(name));
        share.className = 'share';
        bar.className = 'bar';
        share.appendChild(bar);
        count.className = 'number';
        row.id = 'dialect-' + name;
        row.appendChild(head);
        row.appendChild(share);
        row.appendChild(count);
        return row;
    }

    function showConnections(connections) {
        var names = Object.keys(connections), total = 0;
        names.forEach(function (name) {
            total += connections[name];
        });
        names.forEach(function (name) {
            var row = element('dialect-' + name);
            if (!row) {
                row = element('dialects').appendChild(dialectRow(name));
            }
            row.lastChild.textContent = grouped(connections[name]);
            row.querySelector('.bar').style.width =
                (total ? 100 * connections[name] / total : 0) + '%';
        });
        setText('total', grouped(total));
    }

    function showRates(chart, sample) {
        setText(chart.name + '-in', sample ?
            chart.format(sample[chart.name].received) + '/s' : '\u2013');
        setText(chart.name + '-out', sample ?
            chart.format(sample[chart.name].sent) + '/s' : '\u2013');
    }

    function showNumbers(statistics) {
        setText('uptime', 'up ' + duration(statistics.uptime));
        showConnections(statistics.connections);
        charts.forEach(function (chart) {
            var sums = statistics[chart.name];
            setText(chart.name + '-received', chart.format(sums.received));
            setText(chart.name + '-sent', chart.format(sums.sent));
        });
    }

    function showCharts() {
        var time = now();
        while (samples.length && time - samples[0].time > SPAN + GAP) {
            samples.shift();
        }
        charts.forEach(function (chart) {
            showRates(chart, last && samples[samples.length - 1]);
            chart.draw(samples, time);
            chart.describe(samples, time);
        });
    }

    function poll() {
        var started = now();
        if (polling || isHidden()) {
            return;
        }
        polling = true;
        getJSON('/console/statistics', function (statistics) {
            polling = false;
            setText('stale', statistics ? '' : 'does not answer');
            if (statistics) {
                takeSample(statistics, now());
                showNumbers(statistics);
            } else {
                last = null;
            }
            showCharts();
            clearTimeout(pollTimer);
            pollTimer = setTimeout(poll, Math.max(0, started + POLL_INTERVAL - now()));
        });
    }

    ['visibilitychange', 'webkitvisibilitychange'].forEach(function (name) {
        document.addEventListener(name, poll, false);
    });
    window.addEventListener('resize', showCharts, false);
    if (window.matchMedia) {
        (function (scheme) {
            if (scheme.addEventListener) {
                scheme.addEventListener('change', showCharts, false);
            }
        }(window.matchMedia('(prefers-color-scheme: dark)')));
    }

    // The start

    if (!Socket) {
        setText('alert', 'This browser has no WebSocket, so it cannot connect. The numbers of ' +
            'the server work all the same.');
        element('alert').hidden = false;
    }
    setState('idle');
    showPreset();
    poll();
}());

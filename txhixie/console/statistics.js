// The numbers of the server, and what it refused.
(function (page) {
    'use strict';

    var POLL_INTERVAL = 1000;     // ms between two looks at the statistics

    var element = page.element, setText = page.setText, make = page.make;

    var charts = [
        new page.Chart('messages', page.short, 1), new page.Chart('bytes', page.asBytes, 100)
    ];
    var samples = [], last = null, pollTimer = null, polling = false;
    // What the server says about its events, by their names; and the counts that are shown.
    var meanings = {}, shownEvents = '';

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
        if (last && time - last.time < page.GAP && seconds > 0 &&
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
        var row = make('tr'), head = make('th', '', name), share = make('td', 'share');
        head.setAttribute('scope', 'row');
        share.appendChild(make('div', 'bar'));
        row.id = 'dialect-' + name;
        row.appendChild(head);
        row.appendChild(share);
        row.appendChild(make('td', 'number'));
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
            row.lastChild.textContent = page.grouped(connections[name]);
            row.querySelector('.bar').style.width =
                (total ? 100 * connections[name] / total : 0) + '%';
        });
        setText('total', page.grouped(total));
    }

    // Events have names such as "refused", and "refused 404" for a status or close code.
    function eventRow(name, count) {
        var row = make('tr', meanings[name] ? '' : 'detail'), head = make('th', '', name);
        head.setAttribute('scope', 'row');
        if (meanings[name]) {
            head.appendChild(make('span', 'meaning', meanings[name]));
        }
        row.appendChild(head);
        row.appendChild(make('td', 'number', page.grouped(count)));
        return row;
    }

    // Those that happened, each with its statuses or codes after it.
    function showEvents(counts) {
        var body = element('events'), key = JSON.stringify(counts);
        var names = Object.keys(counts).filter(function (name) {
            return counts[name] > 0;
        }).sort();
        if (key === shownEvents) {
            return;
        }
        shownEvents = key;
        while (body.firstChild) {
            body.removeChild(body.firstChild);
        }
        names.forEach(function (name) {
            body.appendChild(eventRow(name, counts[name]));
        });
        element('events-none').hidden = names.length > 0;
        element('events-table').hidden = names.length === 0;
    }

    function showRates(chart, sample) {
        setText(chart.name + '-in', sample ?
            chart.format(sample[chart.name].received) + '/s' : '\u2013');
        setText(chart.name + '-out', sample ?
            chart.format(sample[chart.name].sent) + '/s' : '\u2013');
    }

    function showNumbers(statistics) {
        setText('uptime', 'up ' + page.duration(statistics.uptime));
        showConnections(statistics.connections);
        showEvents(statistics.events);
        charts.forEach(function (chart) {
            var sums = statistics[chart.name];
            setText(chart.name + '-received', chart.format(sums.received));
            setText(chart.name + '-sent', chart.format(sums.sent));
        });
    }

    function showCharts() {
        var time = page.now();
        while (samples.length && time - samples[0].time > page.SPAN + page.GAP) {
            samples.shift();
        }
        charts.forEach(function (chart) {
            showRates(chart, last && samples[samples.length - 1]);
            chart.draw(samples, time);
            chart.describe(samples, time);
        });
    }

    function poll() {
        var started = page.now();
        if (polling || isHidden()) {
            return;
        }
        polling = true;
        page.getJSON('/console/statistics', function (statistics) {
            polling = false;
            setText('stale', statistics ? '' : 'does not answer');
            if (statistics) {
                takeSample(statistics, page.now());
                showNumbers(statistics);
            } else {
                last = null;
            }
            showCharts();
            clearTimeout(pollTimer);
            pollTimer = setTimeout(poll, Math.max(0, started + POLL_INTERVAL - page.now()));
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

    page.explainEvents = function (events) {
        meanings = events;
    };
    page.pollStatistics = poll;
}(txhixie));

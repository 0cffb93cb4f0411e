// The console page, part by part. This is ECMAScript 5 without Function.prototype.bind, for a WebKit
// of 2011 and a browser of today alike. Text from the network goes into text nodes only.
//
// This part: small functions that the others share.
var txhixie = {};

(function (page) {
    'use strict';

    var ANSWER_TIMEOUT = 5000;    // ms that an answer over HTTP may take

    function element(id) {
        return document.getElementById(id);
    }

    function setText(id, text) {
        if (element(id).textContent !== text) {
            element(id).textContent = text;
        }
    }

    function make(tag, name, text) {
        var made = document.createElement(tag);
        if (name) {
            made.className = name;
        }
        if (text !== undefined) {
            made.appendChild(document.createTextNode(text));
        }
        return made;
    }

    function each(list, visit) {
        Array.prototype.forEach.call(list, visit);
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

    // Calls done with the object, or with null if none came in time.
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
        }, ANSWER_TIMEOUT);
        request.open('GET', url, true);
        request.send(null);
    }

    // localStorage may be missing, full or forbidden. Then nothing is remembered.
    function remember(name, value) {
        try {
            window.localStorage.setItem('txhixie.' + name, value);
        } catch (ignored) {
            return;
        }
    }

    function recall(name) {
        try {
            return window.localStorage.getItem('txhixie.' + name);
        } catch (ignored) {
            return null;
        }
    }

    page.element = element;
    page.setText = setText;
    page.make = make;
    page.each = each;
    page.now = now;
    page.pad = pad;
    page.clock = clock;
    page.grouped = grouped;
    page.short = short;
    page.asBytes = asBytes;
    page.plural = plural;
    page.duration = duration;
    page.randomToken = randomToken;
    page.getJSON = getJSON;
    page.remember = remember;
    page.recall = recall;
}(txhixie));

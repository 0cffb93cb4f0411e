// The log of messages: what it keeps, what it shows, how it is copied and saved.
(function (page) {
    'use strict';

    var LOG_LINES = 500;          // lines kept
    var LOG_SIZE = 5e6;           // characters and bytes kept, of all lines together
    var LINE_LENGTH = 10000;      // characters of a message that are shown
    var BYTES_SHOWN = 64;         // bytes of a message that are shown
    var LOG_INTERVAL = 100;       // ms between two additions to the page

    var element = page.element, make = page.make;
    var log = element('log'), filter = element('filter'), manual = element('manual');

    // The lines, the oldest first. Those before the index isShown have an element in the page.
    var lines = [], isShown = 0, size = 0, leftOut = 0, timer = null;
    // Elements of lines that are gone.
    var stale = [];
    var isIndented = false, isFollowing = true;

    // Bytes as text

    function hex(bytes, most) {
        var words = [], i;
        for (i = 0; i < bytes.length && i < most; i += 1) {
            words.push(page.pad(bytes[i].toString(16), 2));
        }
        return words.join(' ') + (bytes.length > most ? ' \u2026' : '');
    }

    function base64(bytes) {
        var text = '', i;
        for (i = 0; i < bytes.length; i += 1) {
            text += String.fromCharCode(bytes[i]);
        }
        return window.btoa(text);
    }

    function describe(bytes) {
        return 'binary, ' + page.plural(bytes.length, 'byte', 'bytes') +
            (bytes.length ? ': ' + hex(bytes, BYTES_SHOWN) : '');
    }

    // JSON text with line breaks, or null if it is none. Works on the text, so that long numbers
    // and repeated names stay as they came.
    function indented(text) {
        var tokens, depth = 0, result = '';

        function newLine() {
            return '\n' + new Array(depth + 1).join('  ');
        }

        if (!/^\s*[\[{]/.test(text)) {
            return null;
        }
        try {
            JSON.parse(text);
        } catch (ignored) {
            return null;
        }
        tokens = text.match(/"(?:\\.|[^"\\])*"|[\[\]{}:,]|[^\s\[\]{}:,"]+/g);
        tokens.forEach(function (token, index) {
            var isFirst = /^[\[{]$/.test(tokens[index - 1]);
            if (token === '}' || token === ']') {
                depth -= 1;
                result += (isFirst ? '' : newLine()) + token;
                return;
            }
            result += (isFirst ? newLine() : '') + token;
            if (token === '{' || token === '[') {
                depth += 1;
            } else if (token === ',') {
                result += newLine();
            } else if (token === ':') {
                result += ' ';
            }
        });
        return result;
    }

    // Lines in the page

    function textElement(line) {
        var text = line.text, isJSON = isIndented && !line.bytes && line.kind !== 'system';
        var whole = (isJSON && indented(text)) || text, shown = whole, made;
        if (!text) {
            return make('span', 'text empty', 'empty message');
        }
        if (shown.length > LINE_LENGTH) {
            // Not between the two halves of a character.
            shown = shown.substring(0, LINE_LENGTH).replace(/[\ud800-\udbff]$/, '');
        }
        made = make('span', 'text', shown);
        if (shown !== whole) {
            made.appendChild(make('span', 'more',
                ' \u2026 ' + page.grouped(text.length) + ' characters in all'));
        }
        return made;
    }

    function matches(line) {
        var wanted = filter.value.trim().toLowerCase();
        return !wanted || (line.kind + ' ' + line.text).toLowerCase().indexOf(wanted) >= 0;
    }

    function lineElement(line) {
        var made = make('div', 'line ' + line.kind);
        made.appendChild(make('span', 'time', page.clock(line.time)));
        made.appendChild(document.createTextNode(' '));
        made.appendChild(make('span', 'kind', line.kind));
        made.appendChild(document.createTextNode(' '));
        made.appendChild(textElement(line));
        made.hidden = !matches(line);
        return made;
    }

    function showCount() {
        var count = lines.filter(matches).length;
        page.setText('count', filter.value.trim() ?
            count + ' of ' + page.plural(lines.length, 'line', 'lines') : '');
    }

    // Show the newest line again after a change, unless the user scrolled away from it.
    function follow() {
        if (isFollowing) {
            log.scrollTop = log.scrollHeight;
        }
    }

    function removeStale() {
        var before = log.scrollHeight;
        stale.forEach(function (old) {
            log.removeChild(old);
        });
        stale = [];
        log.scrollTop -= before - log.scrollHeight;
    }

    function showLines() {
        var fragment = document.createDocumentFragment();
        if (leftOut) {
            lines.splice(isShown, 0, {
                kind: 'system',
                text: page.plural(leftOut, 'line', 'lines') + ' left out: too many at once',
                time: lines[isShown].time
            });
            leftOut = 0;
        }
        lines.slice(isShown).forEach(function (line) {
            line.element = fragment.appendChild(lineElement(line));
        });
        isShown = lines.length;
        log.appendChild(fragment);
        dropOld();
        removeStale();
        follow();
        showCount();
    }

    function showLinesSoon() {
        timer = null;
        if (isShown < lines.length) {
            showLines();
            timer = setTimeout(showLinesSoon, LOG_INTERVAL);
        }
    }

    function sizeOf(line) {
        return line.text.length + (line.bytes ? line.bytes.length : 0);
    }

    function dropOld() {
        var old;
        while (lines.length > LOG_LINES || (size > LOG_SIZE && lines.length > 1)) {
            old = lines.shift();
            size -= sizeOf(old);
            if (isShown) {
                isShown -= 1;
                stale.push(old.element);
            } else {
                leftOut += 1;
            }
        }
    }

    // kind: sent, received or system; bytes: of a binary message.
    function addLine(kind, text, bytes) {
        var line = {kind: kind, text: bytes ? describe(bytes) : text, bytes: bytes};
        line.time = new Date();
        lines.push(line);
        size += sizeOf(line);
        dropOld();
        if (timer === null) {
            showLinesSoon();
        }
    }

    function clear() {
        lines = [];
        stale = [];
        isShown = size = leftOut = 0;
        while (log.firstChild) {
            log.removeChild(log.firstChild);
        }
        manual.hidden = true;
        showCount();
    }

    // Copy and save what the filter lets through

    function asText() {
        return lines.filter(matches).map(function (line) {
            return page.clock(line.time) + ' ' + line.kind + ' ' + line.text + '\n';
        }).join('');
    }

    function asJSON() {
        return JSON.stringify(lines.filter(matches).map(function (line) {
            var entry = {time: line.time.toISOString(), kind: line.kind};
            entry[line.bytes ? 'base64' : 'text'] = line.bytes ? base64(line.bytes) : line.text;
            return entry;
        }), null, 1) + '\n';
    }

    function tell(text) {
        page.setText('count', text);
    }

    // For browsers that cannot: the user copies it.
    function showManually(text) {
        manual.hidden = false;
        element('manual-text').value = text;
        element('manual-text').focus();
        element('manual-text').select();
    }

    function copyOldWay(text) {
        var copied = false;
        showManually(text);
        try {
            copied = document.execCommand('copy');
        } catch (ignored) {
            copied = false;
        }
        if (copied) {
            manual.hidden = true;
            element('copy').focus();
            tell('Copied');
        }
    }

    function copy() {
        var text = asText();
        if (navigator.clipboard && navigator.clipboard.writeText) {
            navigator.clipboard.writeText(text).then(function () {
                tell('Copied');
            }, function () {
                copyOldWay(text);
            });
        } else {
            copyOldWay(text);
        }
    }

    function save() {
        var link = document.createElement('a'), urls = window.URL || window.webkitURL, url;
        if (!('download' in link)) {
            showManually(asJSON());
            return;
        }
        url = urls.createObjectURL(new Blob([asJSON()], {type: 'application/json'}));
        link.href = url;
        link.download = 'txhixie-' + new Date().toISOString().replace(/\W/g, '-') + '.json';
        document.body.appendChild(link);
        link.click();
        document.body.removeChild(link);
        setTimeout(function () {
            urls.revokeObjectURL(url);
        }, 10000);
    }

    element('clear').onclick = clear;
    element('copy').onclick = copy;
    element('export').onclick = save;
    element('manual-close').onclick = function () {
        manual.hidden = true;
        element('copy').focus();
    };
    element('indent').onclick = function () {
        isIndented = !isIndented;
        element('indent').setAttribute('aria-pressed', isIndented ? 'true' : 'false');
        lines.slice(0, isShown).forEach(function (line) {
            line.element.replaceChild(textElement(line), line.element.lastChild);
        });
        follow();
    };
    filter.oninput = function () {
        lines.slice(0, isShown).forEach(function (line) {
            line.element.hidden = !matches(line);
        });
        follow();
        showCount();
    };
    log.onscroll = function () {
        isFollowing = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    };
    window.addEventListener('resize', follow, false);

    page.addLine = addLine;
    page.followLog = follow;
}(txhixie));

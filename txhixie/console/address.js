// Where to connect: what is typed into the path field may be a path, a host or a whole URL.
(function (page) {
    'use strict';

    // What is typed, and what it stands for.
    var SCHEMES = {'ws:': 'ws://', 'wss:': 'wss://', 'http:': 'ws://', 'https:': 'wss://'};
    var PORTS = {'ws://': '80', 'wss://': '443'};

    var path = page.element('path');
    var ownScheme = location.protocol === 'https:' ? 'wss://' : 'ws://';

    function withPort(scheme, host) {
        return host.toLowerCase() + (/:\d+$/.test(host) ? '' : ':' + PORTS[scheme]);
    }

    // {url, host, isOwn}, or {problem}. The host is without user names.
    function read(typed) {
        var text = typed.trim().split('#')[0], scheme = ownScheme, host = location.host, parts;
        if ((parts = /^([a-z][a-z0-9+.\-]*:)\/\/([^\/?]*)(.*)$/i.exec(text))) {
            scheme = SCHEMES[parts[1].toLowerCase()];
            host = parts[2].replace(/^.*@/, '');
            text = parts[3];
        } else if ((parts = /^((?:\[[\da-f:.]+\]|[\w.\-]+):\d+)((?:[\/?].*)?)$/i.exec(text))) {
            host = parts[1];
            text = parts[2];
        }
        if (!scheme) {
            return {problem: 'An address begins with ws:, wss:, http: or https:.'};
        }
        if (!host) {
            return {problem: 'The address has no host.'};
        }
        if (text.charAt(0) !== '/') {
            text = '/' + text;
        }
        return {
            url: scheme + host + text,
            host: host,
            isOwn: scheme === ownScheme &&
                withPort(scheme, host) === withPort(ownScheme, location.host)
        };
    }

    // The URL with parameters set, or left out if their value is null.
    function withParameters(url, parameters) {
        var parts = url.split('?'), query = parts.slice(1).join('?').split('&');
        query = query.filter(function (each) {
            return each && !parameters.hasOwnProperty(each.split('=')[0]);
        });
        Object.keys(parameters).forEach(function (name) {
            if (parameters[name] !== null) {
                query.push(name + '=' + encodeURIComponent(parameters[name]));
            }
        });
        return parts[0] + (query.length ? '?' + query.join('&') : '');
    }

    function showHint() {
        var where = read(path.value), hint = '';
        if (where.problem) {
            hint = where.problem;
        } else if (!where.isOwn) {
            hint = 'Another server: ' + where.host + '. This page does not learn its dialect, its ' +
                'reasons for a refusal or its numbers.';
        }
        page.setText('path-hint', hint);
        page.element('path-hint').hidden = !hint;
        page.followLog();
    }

    page.readAddress = read;
    page.withParameters = withParameters;
    page.showAddressHint = showHint;
}(txhixie));

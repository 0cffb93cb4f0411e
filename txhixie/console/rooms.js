// Rooms that send entries as JSON (?format=json): who is there, and where to resume after a
// reconnection. Every other message is left alone.
(function (page) {
    'use strict';

    var EVENTS = {open: 1, message: 1, close: 1, gap: 1, presence: 1};

    var lastId = null, members = {};

    function showMembers() {
        var names = Object.keys(members);
        page.element('members-row').hidden = lastId === null && !names.length;
        page.setText('members', names.length ? names.length + ': ' + names.join(', ') : '\u2013');
    }

    // The entry that a message is, or null.
    function read(text) {
        var entry = null;
        if (text.charAt(0) === '{') {
            try {
                entry = JSON.parse(text);
            } catch (ignored) {
                entry = null;
            }
        }
        return entry && entry.id !== undefined && EVENTS[entry.event] === 1 ? entry : null;
    }

    // A text message came. Returns the entry that it is, or null.
    function take(text) {
        var entry = read(text);
        if (!entry) {
            return null;
        }
        if (entry.id && entry.event !== 'presence') {
            lastId = String(entry.id);
        }
        if (entry.event === 'presence') {
            members = {};
            (entry.members || []).forEach(function (name) {
                members[name] = true;
            });
        } else if (entry.event === 'open') {
            members[entry.from] = true;
        } else if (entry.event === 'close') {
            delete members[entry.from];
        } else if (entry.event === 'gap') {
            page.addLine('system', 'Some messages are missing: the server no longer has them');
        }
        showMembers();
        return entry;
    }

    // The URL that asks for entries as JSON, if that is wanted, and for what was missed since the
    // last entry.
    function resume(url) {
        if (page.element('room').checked) {
            url = page.withParameters(url, {format: 'json', presence: '1'});
        }
        return lastId === null ? url :
            page.withParameters(url, {last: null, since: lastId});
    }

    function forget() {
        lastId = null;
        members = {};
        showMembers();
    }

    page.rooms = {take: take, resume: resume, forget: forget};
}(txhixie));

// The start of the page, once all its parts are there.
(function (page) {
    'use strict';

    if (!page.connection.isPossible) {
        page.setText('alert', 'This browser has no WebSocket, so it cannot connect. The numbers of ' +
            'the server are shown all the same.');
        page.element('alert').hidden = false;
    }
    page.connection.start();
    page.getJSON('/console/server', function (server) {
        page.offerPaths(server ? server.paths : []);
        page.explainEvents(server ? server.events : {});
        page.pollStatistics();
    });
}(txhixie));

// The path field: what it remembers, and the paths that the server offers.
(function (page) {
    'use strict';

    var path = page.element('path'), presets = page.element('presets');

    function showChosen() {
        page.each(presets.getElementsByTagName('button'), function (preset) {
            var chosen = preset.getAttribute('data-path') === path.value;
            preset.setAttribute('aria-pressed', chosen ? 'true' : 'false');
        });
        page.showAddressHint();
    }

    function choose(offered) {
        path.value = offered;
        showChosen();
    }

    function addPreset(offered) {
        var preset = page.make('button', 'preset', offered);
        // Old browsers do not let the property be set.
        preset.setAttribute('type', 'button');
        preset.disabled = page.connection.state() !== 'idle';
        preset.setAttribute('data-path', offered);
        preset.onclick = function () {
            choose(offered);
        };
        presets.appendChild(preset);
    }

    // The server's paths. The first is the one to try if none is remembered.
    function offer(paths) {
        paths.forEach(addPreset);
        if (!path.value && document.activeElement !== path && paths.length) {
            path.value = paths[0];
        }
        showChosen();
    }

    path.oninput = showChosen;
    path.value = page.recall('path') || '';

    page.offerPaths = offer;
}(txhixie));

// Charts of the last minute. Their colours are those of elements beside them, so that the style
// sheet has them all.
(function (page) {
    'use strict';

    var SPAN = 60000;             // ms shown in a chart
    var GAP = 3500;               // ms without numbers that interrupt a chart's lines
    var LABEL_INTERVAL = 15000;   // ms between two updates of a chart's description

    var element = page.element;

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

    page.Chart = Chart;
    page.SPAN = SPAN;
    page.GAP = GAP;
}(txhixie));

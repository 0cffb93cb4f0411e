// The WebSocket belongs to the page plan.page: its origin is that of the page.
var client = require('./client'), plan = client.plan(), page = require('webpage').create();

phantom.onError = page.onError = client.fail;
page.onCallback = client.print;
page.open(plan.page, function (status) {
    if (status !== 'success') { return client.fail('cannot open ' + plan.page); }
    page.evaluate(client.run, plan);
});

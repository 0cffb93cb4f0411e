// Opens the page plan.page and reports its HTTP status and its text.
var client = require('./client'), plan = client.plan(), page = require('webpage').create();

phantom.onError = page.onError = client.fail;
page.onResourceReceived = function (response) {
    if (response.stage === 'end') {
        client.print({kind: 'status', at: 0, data: String(response.status)});
    }
};
page.open(plan.page, function () {
    client.print({kind: 'text', at: 0, data: page.plainText});
});

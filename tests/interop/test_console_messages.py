"""What the console sends, and how it shows, keeps and exports messages."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

from .chromium import ChromiumTab
from .consolepage import Tab, assertGood, connect, console, lines, say, textIs
from .ghost import PhantomTab
from .server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VALUE = "document.getElementById('text').value"
SHOWN = (
    "[].filter.call(document.querySelectorAll('#log .line'), function (line) {"
    " return !line.hidden; }).map(function (line) { return line.lastChild.textContent; })"
)


def test_binary(browser: Browser, server: Server) -> None:
    """
    Bytes that come back are shown with their size.
    """
    script = """
        WebSocket = class extends WebSocket {
            constructor(...args) { super(...args); window.last = this; }
        };
    """
    with closing(ChromiumTab(browser, console(server), script)) as tab:
        connect(tab)
        tab.evaluate("last.send(new Uint8Array(1234))")
        assert lines(tab, "received", 1) == [f"binary, 1\u202f234 bytes: {'00 ' * 64}…"]
        assertGood(tab)


def choose(tab: Tab, value: str) -> None:
    """
    Choose how messages are sent.
    """
    tab.evaluate(f"document.getElementById('format').value = {value!r}")


def test_lines(tab: Tab) -> None:
    """
    Shift-Enter begins a line, Enter sends all lines, and the field grows with them.
    """
    connect(tab)
    height = "document.getElementById('text').offsetHeight"
    single = tab.evaluate(height)
    tab.click("text")
    tab.type("one")
    tab.press("Shift+Enter")
    tab.type("two")
    assert tab.evaluate(VALUE) == "one\ntwo"
    assert tab.evaluate(height) > single
    tab.press("Enter")
    assert lines(tab, "received", 1) == ["one\ntwo"]
    assert tab.evaluate(VALUE) == ""
    assert tab.evaluate(height) == single


def test_history(tab: Tab) -> None:
    """
    The arrow keys lead through sent messages, and back to the current text.
    """
    connect(tab)
    for text in ("first", "second", "second"):
        say(tab, text)
    tab.type("draft")
    seen = []
    for key in ("Up", "Up", "Up", "Down", "Down", "Down"):
        tab.press(f"Arrow{key}")
        seen.append(tab.evaluate(VALUE))
    assert seen == ["second", "first", "first", "second", "draft", "draft"]
    tab.press("Shift+Enter")
    tab.type("more")
    tab.press("ArrowUp")
    assert tab.evaluate(VALUE) == "draft\nmore"
    tab.press("ArrowUp")
    assert tab.evaluate(VALUE) == "second"


def test_notConnected(tab: Tab, server: Server) -> None:
    """
    Text that is typed without a connection stays, and the page says why it is not sent.
    """
    say(tab, "hello")
    assert tab.evaluate(VALUE) == "hello"
    why = "document.getElementById('hint').textContent"
    assert tab.evaluate(why) == "Not sent: there is no connection. Press Connect first."
    connect(tab)
    assert tab.evaluate(why) == ""
    tab.press("Enter")
    assert lines(tab, "received", 1) == ["hello"]
    server.end()
    tab.wait(textIs("state", "Connection lost"))
    say(tab, "still here")
    assert tab.evaluate(VALUE) == "still here"
    assert "the connection is lost" in tab.evaluate(why)
    assert tab.evaluate("document.getElementById('hint').offsetHeight") > 0
    with Server("--port", f"tcp:{server.port}:interface=127.0.0.1"):
        tab.wait(textIs("state", "Connected"), 40)
        assert tab.evaluate(VALUE) == "still here"
        assert tab.evaluate(why) == ""
        tab.click("toggle")
        tab.wait(textIs("state", "Disconnected"))


def test_json(tab: Tab) -> None:
    """
    JSON is indented on demand, unchanged otherwise; other text stays as it is.
    """
    connect(tab)
    texts = [
        '{"a":[1,{"b":"x, [y]: \\"z\\""}],"big":12345678901234567890,"a":{},"c":[]}',
        "[1, 2",
        "12",
    ]
    for text in texts:
        say(tab, text)
    assert lines(tab, "received", 3) == texts
    tab.click("indent")
    indented = """{
  "a": [
    1,
    {
      "b": "x, [y]: \\"z\\""
    }
  ],
  "big": 12345678901234567890,
  "a": {},
  "c": []
}"""
    assert lines(tab, "received", 3) == lines(tab, "sent", 3) == [indented, *texts[1:]]
    tab.click("indent")
    assert lines(tab, "received", 3) == texts


def test_filter(tab: Tab) -> None:
    """
    Only lines with the wanted text are shown, including later ones.
    """
    connect(tab)
    for text in ("apple", "pear"):
        say(tab, text)
    lines(tab, "received", 2)
    tab.click("filter")
    tab.type("APPLE")
    tab.wait(textIs("count", "2 of 6 lines"))
    assert tab.evaluate(SHOWN) == ["apple", "apple"]
    say(tab, "pineapple")
    say(tab, "plum")
    lines(tab, "received", 4)
    assert tab.evaluate(SHOWN) == ["apple", "apple", "pineapple", "pineapple"]
    assert tab.evaluate("document.getElementById('count').textContent") == "4 of 10 lines"


def test_copy(tab: Tab) -> None:
    """
    The log is copied; if a browser cannot, it can be selected.
    """
    if isinstance(tab, ChromiumTab):
        tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    connect(tab)
    say(tab, "hello")
    lines(tab, "received", 1)
    tab.click("copy")
    if isinstance(tab, ChromiumTab):
        tab.wait(textIs("count", "Copied"))
        copied = tab.page.evaluate("navigator.clipboard.readText()")
    else:
        copied = tab.evaluate("document.getElementById('manual-text').value")
        assert tab.evaluate("document.activeElement.id") == "manual-text"
    kinds = [line.split(" ", 1)[1] for line in copied.splitlines()]
    assert kinds[1:] == ["system Connected", "sent hello", "received hello"]
    if isinstance(tab, PhantomTab):
        tab.click("manual-close")
        assert tab.evaluate("document.getElementById('manual').offsetHeight") == 0


def test_export(tab: Tab) -> None:
    """
    The log is exported as JSON, bytes in base64; if a browser cannot save, it can be copied.
    """
    connect(tab)
    say(tab, "grüße")
    lines(tab, "received", 1)
    if isinstance(tab, ChromiumTab):
        choose(tab, "hex")
        say(tab, "00 ff")
        lines(tab, "received", 2)
        with tab.page.expect_download() as download:
            tab.click("export")
        assert download.value.suggested_filename.endswith(".json")
        text = download.value.path().read_text("utf-8")
    else:
        tab.click("export")
        text = tab.evaluate("document.getElementById('manual-text').value")
    entries = json.loads(text)
    assert [entry["kind"] for entry in entries[:4]] == ["system", "system", "sent", "received"]
    assert [entry["text"] for entry in entries[1:4]] == ["Connected", "grüße", "grüße"]
    assert all(entry["time"].endswith("Z") for entry in entries)
    assert [entry["base64"] for entry in entries[4:]] == ["AP8="] * len(entries[4:])
    assert len(entries) == (6 if isinstance(tab, ChromiumTab) else 4)


def test_bytes(tab: Tab) -> None:
    """
    Bytes are sent from hex or base64 if the dialect carries them, and only offered then.
    """
    connect(tab)
    tab.wait(textIs("dialect", tab.dialect))
    disabled = "document.getElementById('format').options[1].disabled"
    if isinstance(tab, PhantomTab):
        assert tab.evaluate(disabled) is True
        return
    assert tab.evaluate(disabled) is False
    for kind, text in (
        ("hex", "00 7F,ff"),
        ("hex", "0x0a0b"),
        ("hex", ""),
        ("base64", "AP8="),
    ):
        choose(tab, kind)
        say(tab, text)
    expected = [
        "binary, 3 bytes: 00 7f ff",
        "binary, 2 bytes: 0a 0b",
        "binary, 0 bytes",
        "binary, 2 bytes: 00 ff",
    ]
    assert lines(tab, "received", 4) == lines(tab, "sent", 4) == expected
    for kind, text, why in (
        ("hex", "0 1 2", "hex bytes have two digits each"),
        ("hex", "zz", "hex bytes have two digits each"),
        ("base64", "A", "not base64"),
    ):
        choose(tab, kind)
        tab.evaluate(f"{VALUE} = ''")
        say(tab, text)
        assert why in tab.evaluate("document.getElementById('hint').textContent")
        assert tab.evaluate(VALUE) == text
    assert len(lines(tab, "sent", 4)) == 4


def test_ping(tab: Tab) -> None:
    """
    The round trip of a message is measured, also in a broadcast.
    """
    for preset in (0, 1):
        connect(tab, preset)
        tab.click("ping")
        tab.wait("/^[\\d.]+ ms$/.test(document.getElementById('roundtrip').textContent)")
        tab.click("toggle")
        tab.wait(textIs("state", "Disconnected"))
        tab.wait(textIs("roundtrip", "\u2013"))


def test_noEcho(browser: Browser) -> None:
    """
    If nothing sends messages back, the page says so.
    """
    with (
        Server("--service", "tests.interop.services.Silent") as server,
        closing(ChromiumTab(browser, console(server))) as tab,
    ):
        tab.page.clock.install()
        tab.reload()
        connect(tab)
        tab.click("ping")
        tab.page.clock.run_for(5_500)
        tab.wait(textIs("roundtrip", "no echo"))
        tab.page.clock.run_for(500)
        assert "nothing on this path sends messages back" in lines(tab, "system", 3)[-1]
        assert tab.page.is_enabled("#ping")
        assertGood(tab)

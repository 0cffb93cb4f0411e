"""
What the command line asks for.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass

import txhixie
from txhixie.settings import DIALECT_NAMES

_DESCRIPTION = """\
Talk to a WebSocket in any dialect. Each line that is entered is sent as a message, and each message
that comes back is printed. Ctrl-D, or the end of the input, closes the connection with the closing
handshake.
"""
_EPILOG = """\
examples:
  txhixie ws://127.0.0.1:3400/echo
  txhixie --dialect hixie-76 -c hello ws://127.0.0.1:3400/echo
  txhixie --count 10 wss://example.com/feed < /dev/null
  txhixie --ping --count 3 wss://example.com/

The exit status is 0 if all went well, 1 if the server refused, was lost, or closed before
everything asked for had come, 2 for wrong options, and 130 after Ctrl-C.
"""


@dataclass(frozen=True)
class Options:
    """
    The options and the URL.

    @ivar text: the message to send instead of lines of input.
    @ivar count: close after this many messages, or answers to pings; C{None}: do not close.
    """

    url: str
    dialect: str
    origin: str | None
    subprotocols: tuple[str, ...]
    headers: tuple[tuple[str | bytes, str | bytes], ...]
    isBinary: bool
    isInsecure: bool
    isPinging: bool
    text: str | None
    count: int | None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ArgumentTypeError(f"{text!r} is not like 'Cookie: a=b'")
    return name.strip(), value.strip()


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "txhixie",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", metavar="URL", help="such as wss://example.com/chat")
    add("--dialect", choices=DIALECT_NAMES, default="rfc6455", help="[default: rfc6455]")
    add("--origin", metavar="ORIGIN", help="the Origin to send")
    add(
        *("--subprotocol", "-s"),
        action="append",
        default=[],
        metavar="NAME",
        help="a subprotocol to ask for; repeatable",
    )
    add(
        *("--header", "-H"),
        action="append",
        default=[],
        type=_header,
        metavar="'NAME: VALUE'",
        help="a further header field; repeatable",
    )
    add("--binary", action="store_true", help="send bytes messages instead of text")
    add("--insecure", "-k", action="store_true", help="take any certificate of the server")
    add(
        *("--count", "-n"),
        type=_count,
        metavar="N",
        help="close after N messages; input that ends earlier does not close",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "-c", dest="text", metavar="TEXT", help="send TEXT, print the first answer, and close"
    )
    mode.add_argument(
        "--ping", action="store_true", help="send pings, one per second, and print their time"
    )
    add("--version", action="version", version=f"txhixie {txhixie.__version__}")
    return parser


def parse(arguments: Sequence[str] | None = None) -> Options:
    """
    Read the command line.

    @raise SystemExit: after help or version was printed, or if it is wrong.
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    isHixie = chosen.dialect.startswith("hixie")
    for option in ("ping", "binary"):
        if isHixie and getattr(chosen, option):
            what = "pings" if option == "ping" else "bytes messages"
            parser.error(f"{chosen.dialect} has no {what}")
    return Options(
        url=chosen.url,
        dialect=chosen.dialect,
        origin=chosen.origin,
        subprotocols=tuple(chosen.subprotocol),
        headers=tuple(chosen.header),
        isBinary=chosen.binary,
        isInsecure=chosen.insecure,
        isPinging=chosen.ping,
        text=chosen.text,
        count=chosen.count or (1 if chosen.text is not None else None),
    )

"""
The header field C{Forwarded} (RFC 7239), as a list of what each proxy said.

Nothing here depends on Twisted: bytes in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# An element in reverse: anything but commas and quotes, and quoted strings. In reverse, a quote is
# escaped if an odd number of backslashes follows it. No alternative is tried twice, so the time is
# linear. Patterns stand apart, because pydoctor cannot read those that give nothing back.
_REVERSED_PATTERN = rb'(?:[^",]++|"(?:[^"]++|"(?=\\(?:\\\\)*+(?!\\)))*+")*+'
_REVERSED_ELEMENT = re.compile(_REVERSED_PATTERN)
# Neither white space nor colons and brackets outside of quotes are allowed here, but both are
# common.
_PAIR_PATTERN = (
    rb"[ \t]*+(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]++)="
    rb'(?:([^\x00-\x20",;=\x7f-\xff]++)|"((?:[^"\\]|\\.)*+)")[ \t]*+)?(?:;|\Z)'
)
_PAIR = re.compile(_PAIR_PATTERN, re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def elements(lines: list[bytes]) -> Iterator[dict[bytes, bytes]]:
    """
    Read the field from its end, because only the part that trusted proxies appended is sure to be
    well-formed.

    @param lines: the values of all lines of the field, which are one list (RFC 9110 section 5.3).
    @return: the parameters that each proxy added, the nearest proxy first, up to the first
        malformed ones. Names are in lower case, values without their quotes.
    """
    if not lines:
        return
    text = b",".join(lines)[::-1]
    start = 0
    while start <= len(text):
        match = _REVERSED_ELEMENT.match(text, start)
        assert match is not None
        end = match.end()
        parameters = _parameters(match[0][::-1]) if text[end : end + 1] in (b"", b",") else None
        if parameters is None:
            return
        yield parameters
        start = end + 1


def _parameters(element: bytes) -> dict[bytes, bytes] | None:
    """
    Return the parameters of an element, or C{None} if it is malformed.
    """
    parameters: dict[bytes, bytes] = {}
    start = 0
    while start < len(element):
        match = _PAIR.match(element, start)
        if match is None:
            return None
        start = match.end()
        if match[1] is None:
            continue
        name = match[1].lower()
        if name in parameters:
            return None
        parameters[name] = match[2] or _ESCAPED.sub(rb"\1", match[3] or b"")
    return parameters

"""
Origins in a file.
"""

from __future__ import annotations

from pathlib import Path


def readOrigins(path: str) -> tuple[str, ...]:
    """
    Return the origins in a file, one per line. C{#} begins a comment.

    @raise OSError: if the file cannot be read.
    @raise ValueError: if it is not text, a line has several words, or there is no origin in it,
        which would admit everybody.
    """
    try:
        text = Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8") from error
    origins = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if len(words) > 1:
            raise ValueError(f"{path}: line {number} is not one origin")
        origins += words
    if not origins:
        raise ValueError(f"{path}: there is no origin in it")
    return tuple(origins)

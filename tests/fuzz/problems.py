"""
What can be wrong with a conversation.
"""

from __future__ import annotations


class Wrong(Exception):
    """
    What a L{Finding} is made of.
    """

    def __init__(self, kind: str, details: str) -> None:
        super().__init__(kind, details)
        self.kind = kind
        self.details = details

"""
What can be wrong with a conversation.
"""

from __future__ import annotations


class Wrong(Exception):
    """
    What makes a L{Finding}.
    """

    def __init__(self, kind: str, details: str) -> None:
        super().__init__(kind, details)
        self.kind = kind
        self.details = details

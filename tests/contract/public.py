"""
The public names of the package.
"""

from __future__ import annotations

from typing import Any

import txhixie


def public(name: str) -> Any:
    """
    Return what C{from txhixie import NAME} does, or fail the test.
    """
    assert name in txhixie.__all__, f"there is no txhixie.{name}"
    return getattr(txhixie, name)

"""
Rooms across processes: the contract of backplanes, and the table of backplanes.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.reflect import namedAny

from txhixie.backplane.contract import Backplane
from txhixie.settings import Settings

# Functions that make a backplane from the URL and the settings, by the scheme of the URL. They are
# imported when needed. Add a new backplane here.
_REDIS = "txhixie.backplane.redis.backplane.fromURL"
BACKPLANES: dict[str, str] = {
    "memory": "txhixie.backplane.local.fromURL",
    **dict.fromkeys(("redis", "rediss", "redis+unix", "redis+sentinel"), _REDIS),
}


def makeBackplane(url: str, settings: Settings = Settings()) -> Backplane:
    """
    Return the backplane that a URL names. It is not started.

    @raise ValueError: if there is none, with one line that says why.
    """
    scheme = url.partition(":")[0]
    if scheme not in BACKPLANES:
        raise ValueError(f"there is no backplane {scheme!r}, only {', '.join(BACKPLANES)}")
    try:
        make: Callable[[str, Settings], Backplane] = namedAny(BACKPLANES[scheme])
    except ImportError as error:
        raise ValueError(f"{scheme} needs pip install txhixie[redis]: {error}") from error
    return make(url, settings)

"""
The application C{broadcast}.
"""

from __future__ import annotations

from txhixie.applications.rooms import Rooms
from txhixie.backplane.contract import Backplane


class Broadcast(Rooms):
    """
    Sends everything to everybody: L{Rooms} without hooks, at C{/broadcast}.
    """

    def __init__(self, backplane: Backplane | None = None) -> None:
        """
        @param backplane: as for L{Rooms}.
        """
        super().__init__("/broadcast", backplane)

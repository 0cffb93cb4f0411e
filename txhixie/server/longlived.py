"""
Spares the garbage collector what a server consists of.
"""

from __future__ import annotations

import gc

from twisted.application.service import Service


class LongLived(Service):
    """
    Takes what exists when the server starts out of the garbage collector's work. Otherwise each of
    its full runs goes through all modules as well, and so keeps all clients waiting for longer.
    """

    def startService(self) -> None:
        """
        Set aside everything that exists.
        """
        super().startService()
        gc.collect()
        gc.freeze()

    def stopService(self) -> None:
        """
        Let it be collected again.
        """
        super().stopService()
        gc.unfreeze()

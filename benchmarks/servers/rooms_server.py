"""
txhixie with a broadcast at each of many paths.
"""

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString

from benchmarks.servers.options import ENDPOINT
from txhixie import Broadcast, HixieFactory, Routes, Settings

_MOST_ROOMS = 1000

loop: Any = reactor
rooms = {f"/broadcast/{number}": Broadcast() for number in range(_MOST_ROOMS)}
factory = HixieFactory(Routes(rooms), settings=Settings(pingInterval=600))
serverFromString(loop, ENDPOINT).listen(factory)
loop.run()

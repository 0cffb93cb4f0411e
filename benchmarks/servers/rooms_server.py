"""
txhixie with a room at each of many paths.
"""

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString

from benchmarks.servers.options import ENDPOINT
from txhixie import Broadcast, HixieFactory, Settings

loop: Any = reactor
factory = HixieFactory(Broadcast(), settings=Settings(pingInterval=600))
serverFromString(loop, ENDPOINT).listen(factory)
loop.run()

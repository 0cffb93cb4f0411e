"""
Tests of applications and clients without a network.

Nothing here uses a reactor, so no test leaves the reactor dirty, with any test runner.
"""

from txhixie.testing.collecting import CollectingProtocol, CollectingTransport
from txhixie.testing.pair import ConnectedPair, connectedPair
from txhixie.testing.requesting import fakeRequest

__all__ = [
    "CollectingProtocol",
    "CollectingTransport",
    "ConnectedPair",
    "connectedPair",
    "fakeRequest",
]

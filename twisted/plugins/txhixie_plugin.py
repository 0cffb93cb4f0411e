"""
Makes C{twistd hixie} and C{twist hixie} known.
"""

from twisted.application.service import ServiceMaker

hixie = ServiceMaker(
    "txhixie",
    "txhixie.tap",
    "WebSockets in every dialect a browser ever shipped, on one port.",
    "hixie",
)

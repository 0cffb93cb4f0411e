"""
Files and WebSockets in one tree: C{twistd -ny examples/static_site.py}, then
C{ws://localhost:3400/echo}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.application.service import Application
from twisted.web.resource import Resource
from twisted.web.static import File

from txhixie import Echo, HixieFactory, HixieResource, HixieService


def makeRoot() -> Resource:
    """
    Return the root of the site: the files of this folder, and an echo.
    """
    root = File(str(Path(__file__).parent))
    root.putChild(b"echo", HixieResource(Echo()))
    return root


application = Application("static_site")
HixieService(HixieFactory(None, site=makeRoot()), "tcp:3400").setServiceParent(application)

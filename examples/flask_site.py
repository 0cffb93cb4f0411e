"""
A Flask application by WSGI, and WebSockets beside it: C{twistd -ny examples/flask_site.py}, then
C{ws://localhost:3400/echo}.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorThreads
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from twisted.web.wsgi import WSGIResource

from txhixie import Echo, HixieFactory, HixieResource, HixieService

app = Flask("flask_site", root_path=str(Path(__file__).parent))


@app.get("/")
def home() -> str:
    """
    Return a page.
    """
    return "a page of Flask's"


class Root(Resource):
    """
    Gives Flask every path that has no other resource.
    """

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__()
        self._flask = WSGIResource(IReactorThreads(reactor), pool, app)
        self.putChild(b"echo", HixieResource(Echo()))

    def getChild(self, path: bytes, request: Request) -> IResource:
        request.prepath.pop()
        request.postpath.insert(0, path)
        return self._flask


application = Application("flask_site")
threads = IReactorThreads(reactor).getThreadPool()
HixieService(HixieFactory(None, site=Root(threads)), "tcp:3400").setServiceParent(application)

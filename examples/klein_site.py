"""
A Klein application with WebSockets at one of its routes: C{python examples/klein_site.py}, then
C{ws://localhost:8080/echo}.
"""

from __future__ import annotations

from klein import Klein
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource

from txhixie import Echo, HixieResource

app = Klein()
webSockets = HixieResource(Echo())


@app.route("/")
def home(request: IRequest) -> str:
    """
    Return a page.
    """
    return "a page of Klein's"


@app.route("/echo", branch=True)
def echo(request: IRequest) -> IResource:
    """
    Return the resource that opens WebSockets.
    """
    return webSockets


if __name__ == "__main__":
    app.run("localhost", 8080)

"""Logging in with HTTP Basic, in the handshake and to the console's page."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.cred.checkers import (
    AllowAnonymousAccess,
    FilePasswordDB,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.cred.strcred import makeChecker
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from zope.interface import Interface, implementer

from tests.loopback import HEAD75, REPLY75, LoopbackCase, Recorder, Recording, TCPWire
from tests.support import parseHead
from txhixie import HandshakeError
from txhixie.console import Console
from txhixie.web import auth
from txhixie.web.auth import Authenticated, guarded, portalFor
from txhixie.web.proxies import Forwarded
from txhixie.web.request import UpgradeRequest
from txhixie.web.site import Okay

CHALLENGE = b'WWW-Authenticate: Basic realm="txhixie", charset="UTF-8"\r\n'
ALICE = b"Basic " + b64encode(b"alice:sesame")


def basic(userPass: bytes) -> bytes:
    """@return: the value of Authorization for C{NAME:PASSWORD}."""
    return b"Basic " + b64encode(userPass)


def handshake(*authorizations: bytes) -> bytes:
    """@return: an opening handshake with these Authorization header fields."""
    lines = [b"Authorization: %b\r\n\r\n" % value for value in authorizations]
    return b"".join([HEAD75, *lines]).replace(b"\r\n\r\n", b"\r\n", len(lines))


def memory() -> InMemoryUsernamePasswordDatabaseDontUse:
    """@return: a checker that knows alice, a name in UTF-8, and a password with colons."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice=b"sesame", bob=b":a:b:", eve=b"")
    checker.addUser("j\u00fcrgen".encode(), "stra\u00dfe".encode())
    return checker


@implementer(ICredentialsChecker)
class Checker:
    """Returns what the test sets."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer

    def requestAvatarId(self, credentials: IUsernamePassword) -> Any:
        return self._answer(credentials)


class ICharacter(Interface):
    """The interface of an application's avatars."""


@implementer(IRealm)
class Realm:
    """
    Makes its own avatars.

    @ivar asked: what it was asked for.
    @ivar left: the names of the users that were logged out.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.left: list[object] = []

    def requestAvatar(
        self, avatarId: object, mind: object, *interfaces: type[Interface]
    ) -> tuple[type[Interface], object, Callable[[], None]]:
        self.asked.append((avatarId, mind, *interfaces))
        return interfaces[0], ("avatar of", avatarId), lambda: self.left.append(avatarId)


def failing(error: Exception, _: object) -> Deferred[Any]:
    """@return: a failure, whatever is asked."""
    return fail(error)


class AuthenticatedCase(LoopbackCase):
    """A server that admits the users of C{memory}."""

    def setUp(self) -> None:
        super().setUp()
        self.protect(memory())

    def protect(self, *checkers: ICredentialsChecker) -> None:
        """Make the server anew, with these checkers."""
        self.use(portalFor(checkers))

    def use(self, portal: Portal, **options: Any) -> None:
        """Make the server anew, with this portal."""
        self.asked = Recorder()
        self.serve(Authenticated(self.asked, portal, **options))

    def avatars(self) -> list[object]:
        """@return: the avatars of the clients that the application was asked about."""
        return [getattr(recording.request, "avatar", None) for recording in self.asked.made]

    def assertLetIn(self, head: bytes, avatar: object) -> TCPWire:
        """The handshake is completed, and the application sees the avatar."""
        self.asked.made.clear()
        wire = self.connect(head)
        assert wire.take() == REPLY75
        assert self.avatars() == [avatar]
        return wire

    def assertKeptOut(self, *heads: bytes) -> None:
        """Each handshake is answered with the challenge; the application is not asked."""
        for head in heads:
            wire = self.connect(head)
            answer = wire.take()
            assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n"), head
            assert answer.count(CHALLENGE) == answer.count(b"WWW-Authenticate") == 1
            assert wire.ended
        assert self.asked.made == []


class CredentialsTests(AuthenticatedCase):
    """What a client sends."""

    def test_right(self) -> None:
        """Right credentials are accepted, whatever characters they contain."""
        self.assertLetIn(handshake(ALICE), b"alice")
        self.assertLetIn(handshake(basic(b"bob::a:b:")), b"bob")
        self.assertLetIn(handshake(basic(b"eve:")), b"eve")
        name = "j\u00fcrgen".encode()
        self.assertLetIn(handshake(basic(name + ":stra\u00dfe".encode())), name)

    def test_scheme(self) -> None:
        """The scheme has no case, and spaces may follow it."""
        for scheme in (b"basic ", b"BASIC ", b"Basic   "):
            self.assertLetIn(handshake(scheme + b64encode(b"alice:sesame")), b"alice")

    def test_wrong(self) -> None:
        """Wrong credentials are refused, also when they begin right."""
        for userPass in (
            *(b"alice:sesamE", b"alice:sesame ", b"alice:sesam", b"alice:sesame1", b"alice:"),
            *(b"mallory:sesame", b"Alice:sesame", b":sesame", b":", b"eve:x", b"alice:" * 1000),
        ):
            self.assertKeptOut(handshake(basic(userPass)))

    def test_missing(self) -> None:
        """Missing credentials are refused."""
        self.assertKeptOut(HEAD75, handshake(b""))

    def test_malformed(self) -> None:
        """Malformed Basic credentials are refused, even if half of them is right."""
        right = b64encode(b"alice:sesame")
        self.assertKeptOut(
            handshake(b"Basic"),
            handshake(b"Basic " + right[:-1] + b"*"),
            handshake(b"Basic " + right + b" x"),
            handshake(b"Basic " + right + b"\xe9"),
            handshake(b"Basic YWxpY2U"),
            handshake(basic(b"alice")),
            handshake(basic(b"")),
            handshake(right),
            handshake(b"Basic" + right),
            handshake(b"Bearer " + right),
            handshake(b'Digest username="alice"'),
        )

    def test_unsafe(self) -> None:
        """
        Control characters and bytes that are not UTF-8 are refused: some checkers fail on them.
        """
        checker = Checker(lambda credentials: succeed(credentials.username))
        self.protect(checker)
        self.assertLetIn(handshake(ALICE), b"alice")
        self.asked.made.clear()
        for userPass in (b"a\0:b", b"a:b\n", b"a\x7f:b", b"a:b\x1f", b"\xe9:b", b"a:\xff"):
            self.assertKeptOut(handshake(basic(userPass)))

    def test_several(self) -> None:
        """Several header fields are refused, even if they are the same."""
        self.assertKeptOut(handshake(ALICE, ALICE), handshake(ALICE, b"Basic x"))

    def test_pageCredentials(self) -> None:
        """The request has the user's name and password, as in any twisted.web application."""
        wire = self.assertLetIn(handshake(ALICE), b"alice")
        request = self.asked.made[0].request
        assert (request.getUser(), request.getPassword()) == (b"alice", b"sesame")
        assert request is wire.webSocket.request


class ComparisonTests(AuthenticatedCase):
    """How passwords are compared."""

    def test_constantTime(self) -> None:
        """Every comparison takes a time that reveals nothing, for any length."""
        compared: list[tuple[bytes, bytes]] = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return hmac.compare_digest(one, other)

        self.patch(auth, "compare_digest", compare)
        self.assertKeptOut(handshake(basic(b"alice:x")), handshake(basic(b"alice:sesamE")))
        self.assertLetIn(handshake(ALICE), b"alice")
        assert compared == [(given, b"sesame") for given in (b"x", b"sesamE", b"sesame")]
        assert auth._UsernamePassword(b"", b"a").checkPassword(b"a" * 1000) is False


class CheckersTests(AuthenticatedCase):
    """Twisted's checkers, alone and together."""

    def passwordFile(self) -> str:
        """@return: the name of a file with users."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = Path(folder.name, "passwords")
        file.write_bytes(b"carol:secret\nalice:other\n\nj\xc3\xbcrgen:x\n")
        return str(file)

    def test_file(self) -> None:
        """A password file, plain or hashed, read anew for each login or not."""
        name = self.passwordFile()
        hashed = FilePasswordDB(name, hash=lambda user, password, stored: password[::-1])
        for checker, password in (
            (FilePasswordDB(name), b"secret"),
            (FilePasswordDB(name, cache=True), b"secret"),
            (makeChecker(f"file:{name}"), b"secret"),
            (hashed, b"terces"),
        ):
            self.protect(checker)
            self.assertLetIn(handshake(basic(b"carol:" + password)), b"carol")
            self.asked.made.clear()
            self.assertKeptOut(handshake(basic(b"carol:x")), handshake(basic(b"x:secret")), HEAD75)

    def test_missingFile(self) -> None:
        """Nobody can log in with a password file that does not exist."""
        self.protect(FilePasswordDB(self.passwordFile() + ".old"))
        self.assertKeptOut(handshake(ALICE))

    def test_memoryOption(self) -> None:
        """The checker that C{--auth memory:NAME:PASSWORD} makes accepts NAME."""
        self.protect(makeChecker("memory:alice:sesame:j\u00fcrgen:\u00e9"))
        self.assertLetIn(handshake(ALICE), b"alice")
        name = "j\u00fcrgen".encode()
        self.assertLetIn(handshake(basic(name + ":\u00e9".encode())), name)
        self.asked.made.clear()
        self.assertKeptOut(handshake(basic(b"alice:x")), handshake(basic(b"x:sesame")))

    def test_anonymous(self) -> None:
        """If anonymous access is allowed, no credentials are needed, but wrong ones are refused."""
        self.protect(AllowAnonymousAccess(), memory())
        self.assertLetIn(HEAD75, b"")
        self.assertLetIn(handshake(ALICE), b"alice")
        self.asked.made.clear()
        self.assertKeptOut(handshake(basic(b"alice:x")), handshake(b"Basic x"))

    def test_textName(self) -> None:
        """
        A checker may name people in text, as that of system accounts does: the avatar is bytes.
        """
        self.protect(Checker(lambda credentials: succeed(credentials.username.decode())))
        self.assertLetIn(handshake(basic("j\u00fcrgen:".encode())), "j\u00fcrgen".encode())

    def test_several(self) -> None:
        """
        A user that one of several checkers accepts is logged in; a user that none accepts is not.
        """
        self.protect(memory(), FilePasswordDB(self.passwordFile()))
        self.assertLetIn(handshake(ALICE), b"alice")
        self.assertLetIn(handshake(basic(b"alice:other")), b"alice")
        self.assertLetIn(handshake(basic(b"carol:secret")), b"carol")
        self.asked.made.clear()
        self.assertKeptOut(handshake(basic(b"carol:sesame")))

    def test_none(self) -> None:
        """Without any checker nobody can log in."""
        self.protect()
        self.assertKeptOut(HEAD75, handshake(ALICE))

    def test_denied(self) -> None:
        """All kinds of refusal look the same to the client."""
        for error in (UnauthorizedLogin(), LoginDenied("not now")):
            self.protect(Checker(partial(failing, error)))
            self.assertKeptOut(handshake(ALICE))

    def test_broken(self) -> None:
        """A checker that fails is an error of the server, and logged as such."""

        def fault(credentials: IUsernamePassword) -> object:
            raise ZeroDivisionError

        for answer in (fault, lambda _: fail(ZeroDivisionError())):
            self.protect(Checker(answer))
            assert self.connect(handshake(ALICE)).take().startswith(b"HTTP/1.1 500 ")
            assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert self.asked.made == []

    def test_slow(self) -> None:
        """A checker may take its time; the client is answered when it is done."""
        answers: list[Deferred[bytes]] = [Deferred(), Deferred()]
        waiting = iter(answers)
        self.protect(Checker(lambda _: next(waiting)))
        right, wrong = self.connect(handshake(ALICE)), self.connect(handshake(ALICE))
        assert right.take() == wrong.take() == b""
        answers[0].callback(b"alice")
        answers[1].errback(UnauthorizedLogin())
        assert right.take() == REPLY75
        assert wrong.take().startswith(b"HTTP/1.1 401 ")
        assert self.avatars() == [b"alice"]

    def test_lostMeanwhile(self) -> None:
        """A client that leaves before the checker answers is not logged in, and nothing is left."""
        answer: Deferred[bytes] = Deferred()
        self.protect(Checker(lambda _: answer))
        wire = self.connect(handshake(ALICE))
        wire.lose()
        assert answer.called
        assert self.asked.made == []
        self.assertQuiet()

    def test_tooSlow(self) -> None:
        """A checker has as long as a handshake has."""
        answer: Deferred[bytes] = Deferred()
        self.protect(Checker(lambda _: answer))
        wire = self.connect(handshake(ALICE))
        self.pass_(11)
        assert wire.take().startswith(b"HTTP/1.1 503 ")
        assert answer.called
        assert self.asked.made == []


class ApplicationTests(AuthenticatedCase):
    """The inner application may answer everything that it may answer without authentication."""

    def decide(self, decide: Callable[[Any], object]) -> TCPWire:
        """@return: a connection of alice's to an application that answers so."""
        self.asked.decide = decide
        return self.connect(handshake(ALICE))

    def test_later(self) -> None:
        """A Deferred or a coroutine, of a protocol or None."""

        async def soon(answer: object) -> object:
            return answer

        assert self.decide(succeed).take() == self.decide(soon).take() == REPLY75
        assert self.decide(lambda _: succeed(None)).take()[9:12] == b"404"
        assert self.decide(lambda _: soon(None)).take()[9:12] == b"404"
        answer: Deferred[Recording] = Deferred()
        wire = self.decide(lambda _: answer)
        assert wire.take() == b""
        answer.callback(self.asked.made[-1])
        assert wire.take() == REPLY75

    def test_works(self) -> None:
        """The protocol that it returns gets all calls."""
        wire = self.decide(lambda recording: recording)
        wire.take()
        wire.send(b"\0hello\xff")
        assert self.asked.made[0].calls[-1] == "text: hello"

    def test_refuses(self) -> None:
        """None refuses with 404, an error with its own status, at once or later."""

        def refuse(_: object) -> None:
            raise HandshakeError(403, "not you", [(b"X-Why", b"because")])

        async def refuseSoon(_: object) -> None:
            refuse(_)

        assert self.decide(lambda _: None).take()[9:12] == b"404"
        for decide in (refuse, refuseSoon, partial(failing, HandshakeError(403, "not you"))):
            answer = self.decide(decide).take()
            assert answer.startswith(b"HTTP/1.1 403 ")
            assert answer.endswith(b"not you\n")
            assert b"WWW-Authenticate" not in answer
        assert b"X-Why: because\r\n" in self.decide(refuse).take()

    def test_fails(self) -> None:
        """
        Its own failures stay failures; failures of cred do not ask the client to log in again.
        """
        for error in (ZeroDivisionError, UnauthorizedLogin):
            assert self.decide(partial(failing, error())).take()[9:12] == b"500"
            assert len(self.flushLoggedErrors(error)) == 1

    def test_cancelled(self) -> None:
        """If the client leaves while it decides, it is cancelled."""
        answer: Deferred[Recording] = Deferred()
        self.decide(lambda _: answer).lose()
        assert answer.called
        self.assertQuiet()

    def test_nested(self) -> None:
        """Other applications may be around and inside it."""
        inner = Authenticated(self.asked, portalFor([memory()]))
        self.serve(Authenticated(inner, portalFor([memory()])))
        self.assertLetIn(handshake(ALICE), b"alice")


class PortalTests(AuthenticatedCase):
    """A custom portal."""

    def test_realm(self) -> None:
        """
        Its realm gets requests for anything, or for an interface, and its avatar is the request's.
        """
        realm = Realm()
        self.use(Portal(realm, [memory()]))
        self.assertLetIn(handshake(ALICE), ("avatar of", b"alice"))
        self.use(Portal(realm, [memory()]), interface=ICharacter)
        self.assertLetIn(handshake(ALICE), ("avatar of", b"alice"))
        assert realm.asked == [(b"alice", None, Interface), (b"alice", None, ICharacter)]

    def test_realmName(self) -> None:
        """The realm in the challenge can be chosen, from names that need no quoting."""
        self.use(portalFor([memory()]), realm="the chat room")
        assert b'Basic realm="the chat room", charset="UTF-8"\r\n' in self.connect(HEAD75).take()
        for name in ("", 'a"b', "a\\b", "a\r\nb", "caf\u00e9"):
            with pytest.raises(ValueError, match="is not the name of a realm"):
                Authenticated(self.asked, portalFor([]), name)


class LogoutTests(AuthenticatedCase):
    """When avatars are logged out: when C{request.notifyFinish} fires, and once."""

    def setUp(self) -> None:
        super().setUp()
        self.realm = Realm()
        self.use(Portal(self.realm, [memory()]))

    def request(self, head: bytes = handshake(ALICE)) -> UpgradeRequest:
        """@return: a handshake as applications get it."""
        wire = self.connect()
        return UpgradeRequest(
            parseHead(head),
            self.factory.site,
            wire,
            Forwarded(),
            "hixie-76",
            lambda request: None,
        )

    def ask(self, request: UpgradeRequest) -> Deferred[Any]:
        """@return: the result of asking about a request."""
        application = self.factory.application
        assert isinstance(application, Authenticated)
        return Deferred.fromCoroutine(application.buildProtocol(request))

    def test_atTheEnd(self) -> None:
        """Once, at the end of the connection."""
        request = self.request()
        assert self.successResultOf(self.ask(request)) is self.asked.made[0]
        assert self.realm.left == []
        request.connectionLost(Failure(ConnectionDone()))
        assert self.realm.left == [b"alice"]

    def test_refused(self) -> None:
        """Avatars of clients that the application refuses are logged out, too."""

        def refuse(_: object) -> None:
            raise HandshakeError(403)

        for decide in (refuse, lambda _: None, partial(failing, HandshakeError(403))):
            self.asked.decide = decide
            request = self.request()
            self.ask(request).addErrback(lambda failure: failure.trap(HandshakeError))
            request.connectionLost(Failure(ConnectionDone()))
        assert self.realm.left == [b"alice"] * 3

    def test_neverIn(self) -> None:
        """Clients that never logged in are not logged out."""
        request = self.request(HEAD75)
        self.failureResultOf(self.ask(request), HandshakeError)
        request.connectionLost(Failure(ConnectionDone()))
        assert self.realm.left == []

    def test_connection(self) -> None:
        """
        This happens when the connection is gone, after the application was notified; refused or
        not.
        """
        told: list[list[object]] = []
        self.asked = Recorder(connectionLost=lambda *_: told.append([*self.realm.left]))
        self.serve(Authenticated(self.asked, Portal(self.realm, [memory()])))
        wire = self.assertLetIn(handshake(ALICE), ("avatar of", b"alice"))
        assert self.realm.left == []
        wire.lose()
        assert told == [[]]
        assert self.realm.left == [b"alice"]
        for answer in (None, Deferred[None]()):
            self.asked.decide = partial(lambda answer, _: answer, answer)
            self.connect(handshake(ALICE)).lose()
        assert self.realm.left == [b"alice"] * 3
        self.connect(handshake(basic(b"alice:x"))).lose()
        assert self.realm.left == [b"alice"] * 3
        self.assertQuiet()

    def test_fails(self) -> None:
        """A logout that fails is logged."""
        request = self.request()
        self.realm.left = None  # type: ignore[assignment]
        self.ask(request)
        request.connectionLost(Failure(ConnectionDone()))
        assert len(self.flushLoggedErrors(AttributeError)) == 1


class GuardedTests(AuthenticatedCase):
    """A page that wants the same credentials."""

    def setUp(self) -> None:
        super().setUp()
        root = Okay()
        self.serve(Authenticated(self.asked, portalFor([memory()])), root)
        root.putChild(b"console", guarded(Console(self.factory), [memory()]))

    def get(self, path: bytes, *authorizations: bytes) -> bytes:
        """@return: the answer to a request with these Authorization header fields."""
        fields = [b"Authorization: %b\r\n" % value for value in authorizations]
        head = b"GET %b HTTP/1.1\r\nHost: example.com\r\n%b\r\n" % (path, b"".join(fields))
        return self.connect(head).take()

    def test_shown(self) -> None:
        """The page and everything below it is shown to users that log in."""
        for path, content in (
            (b"/console", b"<!DOCTYPE html>"),
            (b"/console/", b"<!DOCTYPE html>"),
            (b"/console/console.css", b"Content-Type: text/css"),
            (b"/console/statistics", b'"connections"'),
        ):
            answer = self.get(path, ALICE)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert content.lower() in answer.lower(), path
        assert self.get(b"/console/nothing", ALICE).startswith(b"HTTP/1.1 404 ")

    def test_hidden(self) -> None:
        """Others get the challenge of the handshake, so that one password is enough for both."""
        for path in (b"/console", b"/console/", b"/console/statistics", b"/console/nothing"):
            for authorization in ([], [b"Basic x"], [basic(b"alice:x")], [b"Bearer x"]):
                answer = self.get(path, *authorization)
                assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
                assert CHALLENGE.lower() in answer.lower()
        assert self.get(b"/").endswith(b"okay")

    def test_sameCredentials(self) -> None:
        """Credentials that are right for the page are right for the handshake, and vice versa."""
        for userPass in (b"alice:sesame", b"bob::a:b:", b"alice:x", b"alice", b"a\0:b", b"\xff:"):
            page = self.get(b"/console", basic(userPass))
            opened = self.connect(handshake(basic(userPass))).take()
            assert (b" 200 OK\r\n" in page) == (opened == REPLY75), userPass

    def test_anyResource(self) -> None:
        """A site may be guarded as a whole; its access log has the user's name."""

        class Page(Resource):
            isLeaf = True

            def render(self, request: Any) -> bytes:
                user: bytes = request.getUser()
                return user

        page = Page()
        assert IResource.providedBy(guarded(page, [memory()]))
        self.serve(site=Site(guarded(page, [memory()]), reactor=self.clock))
        assert self.get(b"/any/where", ALICE).endswith(b"\r\n\r\nalice")
        assert self.get(b"/any/where").startswith(b"HTTP/1.1 401 ")

    def test_realmName(self) -> None:
        """The realm in the challenge can be chosen, from names that need no quoting."""
        self.serve(site=guarded(Resource(), [memory()], "the chat room"))
        assert b'realm="the chat room"' in self.get(b"/")
        with pytest.raises(ValueError, match="is not the name of a realm"):
            guarded(Resource(), [memory()], 'a"b')

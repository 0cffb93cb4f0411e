"""
Logging in with HTTP Basic (RFC 7617) in the opening handshake, by Twisted's cred.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable
from hmac import compare_digest
from inspect import isawaitable
from typing import TYPE_CHECKING, cast

from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import Anonymous, ICredentials, IUsernamePassword
from twisted.cred.error import LoginFailed, Unauthorized, UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.web.guard import HTTPAuthSessionWrapper
from twisted.web.iweb import ICredentialFactory
from twisted.web.resource import IResource
from zope.interface import Interface, implementer

from txhixie.application import startFactories, stopFactories
from txhixie.dialects.head import HandshakeError

if TYPE_CHECKING:
    from twisted.web.server import Request

    from txhixie.application import Application, WebSocketProtocol

_BASIC = re.compile(rb"basic +(.+)", re.IGNORECASE)
# RFC 7617 section 2 forbids them in both parts, and some checkers fail on them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The characters of a realm's name, which is put between quotes.
_REALM = re.compile(r"[ !#-\[\]-~]+")


@implementer(IUsernamePassword)
class _UsernamePassword:
    """
    What a client logs in with. The time of the comparison does not reveal how much of a password is
    right.
    """

    def __init__(self, username: bytes, password: bytes) -> None:
        self.username = username
        self.password = password

    def checkPassword(self, password: bytes) -> bool:
        return compare_digest(self.password, password)


@implementer(ICredentialFactory)
class _Basic:
    """
    HTTP Basic, for the handshake and for pages: a browser reuses the credentials of a page for
    everything with the same origin and realm.
    """

    scheme = b"basic"

    def __init__(self, realm: str) -> None:
        """
        @raise ValueError: if C{realm} cannot stand between quotes.
        """
        if not _REALM.fullmatch(realm):
            raise ValueError(f"{realm!r} is not the name of a realm: ASCII without quotes")
        self._realm = realm

    def getChallenge(self, request: object) -> dict[str, str]:
        return {"realm": self._realm, "charset": "UTF-8"}

    @property
    def challenge(self) -> tuple[bytes, bytes]:
        """
        Return the header field that asks a client to log in.
        """
        parameters = ", ".join(f'{k}="{v}"' for k, v in self.getChallenge(None).items())
        return b"WWW-Authenticate", f"Basic {parameters}".encode("ascii")

    def decode(self, response: bytes, request: object) -> IUsernamePassword:
        """
        @param response: what follows the scheme in C{Authorization}.
        @raise LoginFailed: if it does not conform to RFC 7617.
        """
        try:
            text = b64decode(response.strip(b" "), validate=True).decode("utf-8")
        except ValueError:
            raise LoginFailed("neither base64 nor UTF-8") from None
        username, colon, password = text.partition(":")
        if not colon or _CONTROL.search(text):
            raise LoginFailed("no colon, or control characters")
        return _UsernamePassword(username.encode(), password.encode())

    def credentials(self, request: Request) -> ICredentials:
        """
        @return: the credentials of a request. A request without any gets those for anonymous
            access.
        @raise LoginFailed: if it is malformed, has another scheme, or occurs more than once.
        """
        values = request.requestHeaders.getRawHeaders(b"authorization", [])
        if not values:
            return Anonymous()
        match = _BASIC.fullmatch(values[0])
        if match is None or len(values) > 1:
            raise LoginFailed("not Basic, or not alone")
        return self.decode(match[1], request)


class Authenticated:
    """
    Lets clients log in before it asks another application, which finds the avatar in
    C{request.avatar}.

    The avatar is logged out when the request's C{notifyFinish} reports that the connection is gone.
    """

    _log = Logger()

    def __init__(
        self,
        application: Application,
        portal: Portal,
        realm: str = "txhixie",
        interface: type[Interface] = Interface,
    ) -> None:
        """
        @param application: handles the clients that are logged in.
        @param portal: what they log in to.
        @param realm: the name that a browser shows with its question for a password.
        @param interface: the interface of the avatars.
        @raise ValueError: if C{realm} is not ASCII, or has quotes or backslashes.
        """
        self._application = application
        self._portal = portal
        self._basic = _Basic(realm)
        self._interface = interface

    def startFactory(self) -> None:
        """
        Start the application.
        """
        startFactories(self._application)

    def stopFactory(self) -> None:
        """
        Stop the application.
        """
        stopFactories(self._application)

    async def buildProtocol(self, request: Request) -> WebSocketProtocol | None:
        """
        @return: what the application answers.
        @raise HandshakeError: 401 to those who cannot log in, or what the application raises.
        """
        try:
            _, avatar, logout = await self._portal.login(
                self._basic.credentials(request), None, self._interface
            )
        except (LoginFailed, Unauthorized) as error:
            raise HandshakeError(
                401, "valid credentials are needed", [self._basic.challenge]
            ) from error
        gone = request.notifyFinish()
        gone.addBoth(lambda _: logout())
        gone.addErrback(lambda failure: self._log.failure("logging out", failure))
        request.avatar = avatar  # type: ignore[attr-defined]
        answer = self._application.buildProtocol(request)
        return await answer if isawaitable(answer) else answer


@implementer(IRealm)
class _Realm:
    """
    Has an avatar for everybody, and does nothing when they log out.
    """

    def __init__(self, avatar: Callable[[bytes], object]) -> None:
        """
        @param avatar: makes an avatar of the name that a client logged in with.
        """
        self._avatar = avatar

    def requestAvatar(
        self, avatarId: bytes | str | tuple[()], mind: object, *interfaces: type[Interface]
    ) -> tuple[type[Interface], object, Callable[[], None]]:
        # Checkers of system accounts return str; anonymous is the empty tuple, here empty bytes.
        name = avatarId.encode() if isinstance(avatarId, str) else bytes(avatarId)
        return interfaces[0], self._avatar(name), lambda: None


@implementer(ICredentialsChecker)
class _FirstOf:
    """
    Several checkers, of which the first that accepts a client counts. A C{Portal} by itself has
    only one for each kind of credentials.
    """

    def __init__(self, checkers: Iterable[ICredentialsChecker]) -> None:
        self._checkers = tuple(checkers)
        self.credentialInterfaces = tuple(
            dict.fromkeys(kind for each in self._checkers for kind in each.credentialInterfaces)
        )

    def requestAvatarId(self, credentials: ICredentials) -> Deferred[bytes | tuple[()]]:
        return Deferred.fromCoroutine(self._ask(credentials))

    async def _ask(self, credentials: ICredentials) -> bytes | tuple[()]:
        for checker in self._checkers:
            if any(kind.providedBy(credentials) for kind in checker.credentialInterfaces):
                try:
                    return await maybeDeferred(checker.requestAvatarId, credentials)
                except UnauthorizedLogin:
                    pass
        raise UnauthorizedLogin


def _inBytes(checker: ICredentialsChecker) -> ICredentialsChecker:
    """
    @return: the checker itself. C{--auth memory:NAME:PASSWORD} makes one that contains C{str},
        which never equals any credentials.
    """
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        checker.users = {_bytes(name): _bytes(word) for name, word in checker.users.items()}
    return checker


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _portal(avatar: Callable[[bytes], object], checkers: Iterable[ICredentialsChecker]) -> Portal:
    return Portal(_Realm(avatar), [_FirstOf([_inBytes(checker) for checker in checkers])])


def portalFor(checkers: Iterable[ICredentialsChecker]) -> Portal:
    """
    @param checkers: decide who may log in, and the first that accepts counts; as
        C{twisted.cred.strcred.AuthOptionMixin} collects them.
    @return: a portal whose avatars are the names of the clients that log in, in bytes, empty for
        anonymous ones.
    """
    return _portal(lambda name: name, checkers)


def guarded(
    resource: IResource, checkers: Iterable[ICredentialsChecker], realm: str = "txhixie"
) -> IResource:
    """
    @param checkers: as for L{portalFor}.
    @param realm: as for L{Authenticated}. Use the same name there, so that a browser that logged in
        on a page sends the same credentials with its handshakes.
    @return: a resource that shows another one, and everything below it, to clients that log in.
    """
    portal = _portal(lambda _: resource, checkers)
    return cast(IResource, HTTPAuthSessionWrapper(portal, [_Basic(realm)]))

"""
Whether a client handles a server's answer as the drafts require.
"""

from __future__ import annotations

from tests.fuzz.answers import Answer, good, readAnswer
from tests.fuzz.problems import Wrong
from tests.fuzz.replies import Malformed, Reply, readTalk
from tests.fuzz.runner import Outcome
from tests.fuzz.scenario import Scenario
from tests.fuzz.subjects import openingOf
from txhixie import HandshakeRefused, NoAnswer, OpeningError, OpeningTimedOut
from txhixie.dialects.connection import Connection
from txhixie.dialects.head import ResponseHead


def answerOf(scenario: Scenario) -> Answer:
    """
    @return: the answer that opened the client's connection.
    @raise Malformed: if it should not have.
    """
    return readAnswer(scenario.dialect, scenario.data, openingOf(scenario).request())


def readOutput(scenario: Scenario, outcome: Outcome) -> Reply:
    """
    @return: what a client sent after its request, if there was an answer that opened it.
    @raise Malformed: for data that is invalid for every server.
    """
    request = openingOf(scenario).request()
    if outcome.refusal is not None:
        _checkRefusal(scenario, outcome.refusal)
        isCut = bool(scenario.actions & {"end", "reset", "stall"}) and request.startswith(
            outcome.output
        )
        if outcome.output != request and not isCut:
            raise Malformed(f"{outcome.output!r} is not a request")
        return Reply()
    answer = answerOf(scenario)
    if not outcome.output.startswith(request):
        raise Malformed(f"{outcome.output!r} does not begin with the request")
    return readTalk(
        outcome.output[len(request) :],
        scenario.dialect,
        bool(answer.windowBits),
        answer.clientBits,
        answer.clientTakeover,
    )


def _checkRefusal(scenario: Scenario, error: BaseException) -> None:
    data = scenario.data
    if not isinstance(error, OpeningError):
        raise Wrong("wrong error", f"{error!r} for {data[:200]!r}")
    if isinstance(error, HandshakeRefused):
        line = b" %d" % error.status
        if line not in data or error.status == 101 or error.body not in _joined(data):
            raise Wrong("wrong error", f"{error!r}, {error.body!r} for {data[:200]!r}")
    if isinstance(error, NoAnswer) and not data.startswith(error.received):
        raise Wrong("wrong error", f"{error!r} for {data[:200]!r}")
    if isinstance(error, OpeningTimedOut) and "wait" not in scenario.actions:
        raise Wrong("wrong error", f"{error!r} without any time")


def _joined(data: bytes) -> bytes:
    """
    @return: the data, and what it would be without the size lines of chunks.
    """
    body = data.partition(b"\r\n\r\n")[2]
    return data + b"".join(body.split(b"\r\n")[1::2])


def checkAccepted(scenario: Scenario, outcome: Outcome) -> None:
    """
    Check that a client accepts a good answer.
    """
    settings = scenario.makeSettings()
    request = openingOf(scenario).request()
    extensions = (b"", b"permessage-deflate") if settings.compression else (b"",)
    answers = [
        good(scenario.dialect, request, subprotocol, extension)
        for subprotocol in scenario.subprotocols or ("",)
        for extension in (extensions if not scenario.dialect.startswith("hixie") else (b"",))
    ]
    for answer in answers:
        if (
            scenario.data.startswith(answer)
            and not scenario.actions
            and settings.maxHead >= len(answer)
            and settings.maxFields >= 10
            and outcome.refusal is not None
        ):
            raise Wrong("refused", f"a good answer of {scenario.dialect}: {outcome.refusal!r}")


def connectionOf(scenario: Scenario) -> Connection:
    """
    @return: the client's connection of a scenario, right before the frames.
    """
    opening = openingOf(scenario)
    data, stream = scenario.data, answerOf(scenario).stream
    heads = data[: len(data) - len(stream) - opening.tailSize].removesuffix(b"\r\n\r\n")
    opening.check(ResponseHead.parse(heads.rpartition(b"\r\n\r\n")[2].split(b"\r\n")))
    return opening.connection()

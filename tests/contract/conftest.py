"""
What the tests of the contract share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_twisted  # type: ignore[import-untyped]

from tests.certificates import selfSigned
from tests.support import IDIOMS

from .network import Network
from .transports import TRANSPORTS, makePair
from .waiting import clock

_PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Remember whether a test passed.
    """
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files of a key and its certificate."""
    return selfSigned(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """The transports of the clients."""
    return str(request.param)


@pytest.fixture(params=IDIOMS)
def dialect(request: pytest.FixtureRequest) -> str:
    """The dialects of the clients."""
    return str(request.param)


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def network(
    transport: str, certificate: tuple[Path, Path], request: pytest.FixtureRequest
) -> AsyncIterator[Network]:
    """
    A network. A test only passes if it has checked all logged errors.
    """
    # The path of a Unix socket is limited to about a hundred characters: pytest's are longer.
    with TemporaryDirectory(prefix="contract-") as folder:
        network = Network(makePair(transport, Path(folder), clock(), certificate))
        yield network
        await network.end()
    if request.node.stash.get(_PASSED, False):
        assert network.takeErrors() == []

"""What all tests share: the marker that ties a test to the requirements it shows."""

from __future__ import annotations

from collections.abc import Generator

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """
    Register the marker; C{tests/requirements.py} holds the IDs it takes.
    """
    config.addinivalue_line(
        "markers", "requirement(*ids): the requirements of docs/conformance.md that a test shows"
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(
    pyfuncitem: pytest.Function,
) -> Generator[None, object | None, object | None]:
    """
    Undo what pytest-twisted does to a hypothesis test: it wraps the inner function again for every
    parameter, and the second wrapper cannot run inside the first.
    """
    hypothesis = getattr(pyfuncitem.obj, "hypothesis", None)
    inner = getattr(hypothesis, "inner_test", None)
    try:
        return (yield)
    finally:
        if hypothesis is not None:
            hypothesis.inner_test = inner

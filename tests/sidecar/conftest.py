"""Fixtures that all of the sidecar's tests share."""

import pytest

from tests.builders import NOW
from tests.sidecar.scenarios import scenarios  # noqa: F401
from tests.sidecar.stores import database_url, journal, ledger, ledger_url, postgresql  # noqa: F401


@pytest.fixture(scope="session")
def now() -> float:
    """What the clock of a bare service says until it is set."""
    return NOW

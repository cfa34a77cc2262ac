"""Records to play with, and the databases that the contract holds for."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.decision.records import Decision, Label
from sidecar.journal.journal import Journal
from sidecar.ledger.store import Ledger
from tests import builders

MakeDecision = Callable[..., Decision]
MakeLabel = Callable[..., Label]
NOON = 1_770_000_000.0  # 2026-02-02 02:40 UTC


@pytest.fixture(scope="session")
def make_decision() -> MakeDecision:
    """Makes the answer with a number; keywords change it."""
    return builders.decision


@pytest.fixture(scope="session")
def make_label() -> MakeLabel:
    """Makes the label with a number about the decision with the same number; keywords change it."""
    return builders.label


# One line per database that the contract holds for. PostgreSQL joins here.
@pytest.fixture(params=["sqlite"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"sqlite": f"sqlite:///{tmp_path}/ledger.db"}[request.param]


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger(ledger_url) as made:
        made.migrate()
        yield made


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal") as made:
        yield made

"""Records to play with, and the databases that the contract holds for."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from calibrators.evidence import Evidence
from sidecar.decision.records import Decision, Label
from sidecar.journal.journal import Journal
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Action, Reason

MakeDecision = Callable[..., Decision]
MakeLabel = Callable[..., Label]
NOON = 1_770_000_000.0  # 2026-02-02 02:40 UTC


@pytest.fixture(scope="session")
def make_decision() -> MakeDecision:
    """Makes the answer with a number; keywords change it."""

    def make(number: int = 1, **changes: object) -> Decision:
        fields: dict[str, object] = {
            "decision_id": f"decision-{number:06d}",
            "answer_id": f"answer-{number:06d}",
            "model": "lead-classifier",
            "model_version": "v7",
            "category": "general",
            "predicted_class": "interested",
            "final_class": "interested",
            "occurred_at": NOON + number,
            "evidence": Evidence(kind="score", values=(0.93,)),
            "action": Action.AUTO_ROUTE,
            "may_act": True,
            "band": "auto",
            "raw_confidence": 0.93,
            "calibrated_confidence": 0.1 + 0.2,
            "reasons": (Reason.BAND,),
            "decided_at": NOON + number,
            "expires_at": NOON + number + 60,
            "policy_digest": "p" * 64,
            "sidecar_id": "sidecar-a",
            "engine_version": "0.1.0",
            "audit_rate": 0.05,
            "audit_key_id": "k1",
        }
        return Decision(**(fields | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def make_label() -> MakeLabel:
    """Makes the label with a number about the decision with the same number; keywords change it."""

    def make(number: int = 1, **changes: object) -> Label:
        fields: dict[str, object] = {
            "decision_id": f"decision-{number:06d}",
            "source": "crm",
            "event_id": f"event-{number:06d}",
            "observed_at": NOON + 100 + number,
            "recorded_at": NOON + 200 + number,
            "sidecar_id": "sidecar-a",
        }
        fields |= changes
        if not {"correct", "true_class", "cannot_tell"} & set(fields):
            fields["correct"] = True
        return Label(**fields)  # type: ignore[arg-type]

    return make


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

"""A ledger full of audited decisions, and the command that watches it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from calibrators import Evidence
from sidecar.decision.records import Artifact, Decision, Label
from sidecar.decision.steps import CalibratorReference
from sidecar.ledger import intake, watch_states
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from sidecar.policy.actions import TaskKind
from tests import builders
from training import cli

START = 1_790_000_000.0
POLICY = """
version: 1
models:
  leads:
    calibrator: models:/leads-calibrator@champion
    evidence: score
    bands:
      - {name: auto, from: 0.90, action: AUTO_ROUTE, promise: {accuracy: 0.95}}
      - {name: flagged, from: 0.70, action: AUTO_ROUTE_FLAGGED, review: next_day}
      - {name: hold, from: 0.50, action: HOLD_FOR_REVIEW}
      - {name: reject, from: 0.00, action: REJECT}
    categories:
      general: {}
      Refunds: {promise: {accuracy: 0.99}}
"""
CHAMPION = CalibratorReference(name="leads-calibrator", version="3", kind="platt", digest="sha256:champion")


def audited(number: int, correct: bool, *, policy_digest: str, **changes: Any) -> tuple[Decision, Label]:
    """The answer with a number, one a second, drawn for audit, and what the auditor said a minute later.

    Keywords change the decision, those that begin with `label_` the label.
    """
    fields: dict[str, Any] = {
        "at": START + number,
        "decision_id": f"d{number:06d}",
        "model": "leads",
        "model_version": "v1",
        "score": 0.96,
        "calibrated_confidence": 0.95,
        "calibrator": CHAMPION,
        "drawn": True,
        "tasks": builders.planned(TaskKind.AUDIT, due_at=START + 1e6),
        "policy_digest": policy_digest,
        "sidecar_id": "s",
    }
    fields |= {key: value for key, value in changes.items() if not key.startswith("label_")}
    of_label = {
        key.removeprefix("label_"): value for key, value in changes.items() if key.startswith("label_")
    }
    decision = builders.decision(number, **fields)
    return decision, builders.label_about(decision, correct, TaskKind.AUDIT, **of_label)


class World:
    """A ledger, and the command."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.url = f"sqlite:///{home / 'ledger.db'}"
        self.policy = loading.parse(POLICY)
        self._capsys = capsys
        self._known: set[str] = set()
        self.next = 0
        with Ledger(self.url) as ledger:
            ledger.migrate()

    def use(self, text: str) -> None:
        """From now on decisions are made under another policy."""
        self.policy = loading.parse(text)

    def add(self, outcomes: Iterable[bool], **changes: Any) -> None:
        """Audited decisions with these outcomes, each a second after the one before."""
        records: list[Any] = []
        for correct in outcomes:
            self.next += 1
            records += audited(self.next, correct, policy_digest=self.policy.digest, **changes)
        self.apply(records)

    def add_scores(
        self, scores: Iterable[float], calibrator: CalibratorReference, *, labelled: bool = True
    ) -> None:
        """Audited decisions of these raw confidences, all correct."""
        records: list[Any] = []
        for score in scores:
            self.next += 1
            decision, label = self.audited(
                self.next,
                True,
                score=score,
                raw_confidence=score,
                calibrator=calibrator,
                calibrated_confidence=None,
            )
            records += [decision, label] if labelled else [decision]
        self.apply(records)

    def audited(self, number: int, correct: bool, *, score: float = 0.96, **changes: Any) -> tuple[Any, ...]:
        """See `audited`."""
        evidence = Evidence("score", (score,))
        return audited(number, correct, policy_digest=self.policy.digest, evidence=evidence, **changes)

    def apply(self, records: Iterable[Any]) -> None:
        known = Artifact(digest=self.policy.digest, kind="policy", body=self.policy.canonical)
        with Ledger(self.url) as ledger:
            ledger.write(intake.take_in, [known, *records])

    def watch(self, *arguments: str, at: float = START + 1e6) -> tuple[int, str, str]:
        """Exit code, output and errors of a watch in the far future of every label."""
        code = cli.main(["watch", "--ledger-url", self.url, "--as-of", str(at), *arguments])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def states(self, model: str = "leads") -> dict[str, str]:
        with Ledger(self.url) as ledger:
            return {name: row.body for name, row in ledger.read(watch_states.states, model).items()}


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    for name in (
        "TRUEBAND_ADDRESS",
        "TRUEBAND_LISTEN",
        "TRUEBAND_POLICY",
        "TRUEBAND_LEDGER_URL",
        "TRUEBAND_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    return World(tmp_path, capsys)


MakeLabelled = Callable[..., Labelled]


@pytest.fixture
def make_labelled() -> MakeLabelled:
    """An audited answer as the ledger gives it; keywords as of `audited`, or those of `Labelled`."""

    def make(number: int, correct: bool = True, **changes: Any) -> Labelled:
        own = {key: changes.pop(key) for key in ("drawn", "propensity", "about") if key in changes}
        drawn_decision = changes.pop("decision_drawn", None)
        if drawn_decision is not None:
            changes["drawn"] = drawn_decision
        decision, label = audited(number, correct, policy_digest="p", **changes)
        fields = {"drawn": True, "propensity": decision.verdict.audit_rate, "about": "PRIMARY"} | own
        return Labelled(decision=decision, correct=correct, label=label, **fields)

    return make

"""Ledgers for the tests of cut-offs: decisions with labels, audited and held."""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import calibrators
from calibrators import AppliesTo, Calibrator, Fit
from sidecar.decision.records import Artifact, Decision
from sidecar.ledger import intake
from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from sidecar.policy.actions import Action, TaskKind
from tests import builders

START = 1_790_000_000.0
POLICY = """\
version: 1
models:
  leads:
    calibrator: models:/leads@champion
    evidence: score
    bands:
      - {name: auto,    from: 0.90, action: AUTO_ROUTE,         audit_rate: 0.25}  # acts
      - {name: flagged, from: 0.70, action: AUTO_ROUTE_FLAGGED, review: next_day}
      - {name: hold,    from: 0.50, action: HOLD_FOR_REVIEW}
      - {name: reject,  from: 0.00, action: REJECT}
    categories:
      general: {}
      refunds: {bands: [{name: look, from: 0, action: HOLD_FOR_REVIEW}]}
"""


def make_calibrator(window_to: str | None = "2026-09-21T14:13:19Z", **changes: Any) -> Calibrator:
    """The identity, fitted to labels up to the second before the first decision, unless told otherwise."""
    fit = Fit(
        n=100,
        n_effective=100.0,
        positives=0.8,
        distinct=100,
        window_from=None,
        window_to=window_to,
        data_digest=None,
    )
    applies_to = AppliesTo(model="leads", model_versions=None, evidence="score")
    return Calibrator(**({"map": calibrators.Identity(), "fit": fit, "applies_to": applies_to} | changes))


class World:
    """A ledger in the making."""

    def __init__(self, directory: Path) -> None:
        self.url = f"sqlite:///{directory / 'ledger.db'}"
        self.calibrator = make_calibrator()
        self.loaded = loading.parse(POLICY)
        self.records: list[Any] = [
            Artifact(digest=self.loaded.digest, kind="policy", body=self.loaded.canonical),
            Artifact(
                digest=self.calibrator.digest, kind="calibrator", body=calibrators.dumps(self.calibrator)
            ),
        ]

    def decide(self, number: int, score: float, *, correct: bool | None = None, **changes: Any) -> Decision:
        """An answer, one a second; audited at 0.25 from 0.9 on, held below; with a label if `correct` says one."""
        acts = score >= 0.9
        kind = TaskKind.AUDIT if acts else TaskKind.HOLD
        fields: dict[str, Any] = {
            "decision_id": f"d{number:06d}",
            "model": "leads",
            "model_version": "v1",
            "calibrator": builders.reference(self.calibrator, "leads", ""),
            "action": Action.AUTO_ROUTE if acts else Action.HOLD_FOR_REVIEW,
            "band": "auto" if acts else "hold",
            "policy_digest": self.loaded.digest,
            "audit_rate": 0.25 if acts else 0.0,
            "drawn": acts and correct is not None,
            "tasks": () if correct is None else builders.planned(kind, due_at=START + 1e7),
        }
        made = builders.decision(number, at=START + number, score=score, **fields | changes)
        self.records.append(made)
        if correct is not None:
            self.records.append(builders.label_about(made, correct, kind))
        return made

    def fill(self, n: int, *, seed: int = 1, right: Callable[[float], float] | None = None) -> None:
        """n answers with scores around 0.9, labelled as the policy has it."""
        rng = random.Random(seed)
        for number in range(n):
            score = round(1.0 / (1.0 + math.exp(-rng.gauss(2.5, 1.2))), 4)
            truth = score if right is None else right(score)
            labelled = score < 0.9 or rng.random() < 0.25
            self.decide(number, score, correct=rng.random() < truth if labelled else None)

    def write(self, more: Sequence[Any] = ()) -> str:
        """Keeps it all; the ledger's URL."""
        with Ledger(self.url) as ledger:
            ledger.migrate()
            ledger.write(intake.take_in, [*self.records, *more])
        return self.url


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def calibrator_of() -> Callable[..., Calibrator]:
    return make_calibrator

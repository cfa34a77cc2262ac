"""Ledgers whose truth is known, and reports on them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sidecar import times
from sidecar.decision.records import Artifact, Decision, Record
from sidecar.ledger import intake
from sidecar.ledger.snapshot import open_snapshot
from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from sidecar.policy.actions import Action, TaskKind
from tests import builders
from training.report import content, window
from training.report.content import Report

START = 1_790_000_000.0  # 2026-09-21 14:13 UTC, a Monday
NOW = START + 100 * 86400.0
ACTIONS = {
    "auto": Action.AUTO_ROUTE,
    "flagged": Action.AUTO_ROUTE_FLAGGED,
    "hold": Action.HOLD_FOR_REVIEW,
    "reject": Action.REJECT,
}
CONFIDENCE = {"auto": 0.95, "flagged": 0.8, "hold": 0.6, "reject": 0.3}


class World:
    """A ledger in the making: decisions with what became of them."""

    def __init__(self, directory: Path, policy: str) -> None:
        self.loaded = loading.parse(policy)
        self.url = f"sqlite:///{directory / 'ledger.db'}"
        self.records: list[Record] = [
            Artifact(digest=self.loaded.digest, kind="policy", body=self.loaded.canonical)
        ]
        self._number = 0

    def add(
        self, n: int, band: str, *, rate: float = 0.2, labels: Sequence[bool | None] = (), **changes: Any
    ) -> list[Decision]:
        """So many decisions, one a second, of which the first were drawn and answered; None: cannot tell.

        A held one has a task; of the others those with labels were drawn with the rate.
        """
        made = []
        for position in range(n):
            self._number += 1
            action = changes.get("action", ACTIONS[band])
            held = action in (Action.HOLD_FOR_REVIEW, Action.ESCALATE)
            drawn = not held and position < changes.get("drawn", len(labels))
            kind = TaskKind.HOLD if held else TaskKind.AUDIT
            decided_at = changes.get("at", START) + self._number
            fields: dict[str, Any] = {
                "decision_id": f"d{self._number:06d}",
                "model": "leads",
                "model_version": "v1",
                "predicted_class": "yes",
                "action": action,
                "band": band,
                "policy_digest": self.loaded.digest,
                "audit_rate": 0.0 if held else rate,
                "tasks": builders.planned(kind, due_at=decided_at + 86400.0) if held or drawn else (),
            }
            own = {key: value for key, value in changes.items() if key not in ("at", "label", "drawn")}
            decision = builders.decision(
                self._number, at=decided_at, score=CONFIDENCE[band], drawn=drawn, **fields | own
            )
            self.records.append(decision)
            made.append(decision)
            if position < len(labels):
                self.label(decision, labels[position], kind, **changes.get("label", {}))
        return made

    def label(self, about: Decision, correct: bool | None, kind: TaskKind | None, /, **changes: Any) -> None:
        """A label through a task of that kind; with None, an unasked one."""
        later = about.decided_at + 3600.0
        times = {"observed_at": later, "recorded_at": later}
        self.records.append(builders.label_about(about, correct, kind, **times | changes))

    def write(self) -> str:
        """Puts it into the ledger: its URL."""
        with Ledger(self.url, clock=lambda _: NOW) as ledger:
            ledger.migrate()
            ledger.write(intake.take_in, self.records)
        return self.url

    def report(
        self,
        *,
        pool: bool = False,
        since: str | None = None,
        until: str | None = None,
        as_of: str | None = None,
    ) -> Report:
        """The report, made at NOW."""
        with open_snapshot(self.write()) as ledger:
            wanted = window.of(
                since=None if since is None else times.when(since),
                until=None if until is None else times.when(until),
                as_of=None if as_of is None else times.when(as_of),
                now=NOW,
            )
            return content.build(
                ledger,
                self.loaded,
                window.floors_at(ledger, wanted.as_of),
                models=tuple(self.loaded.policy.models),
                window=wanted,
                pool=pool,
                now=NOW,
            )


POLICY = """
version: 1
models:
  leads:
    calibrator: models:/leads-calibrator@champion
    evidence: score
    categories:
      general: {}
      refunds: {promise: {accuracy: 0.95, by: 2026-12-01}}
      pricing: {mandatory_review: true}
"""

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> MakeWorld:
    """Begins a ledger under a policy."""
    return lambda policy=POLICY: World(tmp_path, policy)


@pytest.fixture
def counted(make_world: MakeWorld) -> World:
    """Four bands, counted by hand.

    auto: 200 acted, 40 audited at 0.2, 36 right. flagged: 100 acted, 20 audited, 15 right. hold: 50, all
    labelled, 25 right. reject: 30, 6 audited, 1 right. Ten people complained about auto, each rightly.
    """
    world = make_world()
    acted = world.add(200, "auto", labels=[True] * 36 + [False] * 4)
    world.add(100, "flagged", labels=[True] * 15 + [False] * 5)
    world.add(50, "hold", labels=[True] * 25 + [False] * 25)
    world.add(30, "reject", labels=[True] + [False] * 5)
    for decision in acted[-10:]:
        world.label(decision, False, None)
    return world

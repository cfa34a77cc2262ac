"""Rerouting: where recent decisions would have gone under a challenger, whether they were labelled or not."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import calibrators
from sidecar import dialect
from sidecar.decision import recompute, suspensions
from sidecar.decision.recompute import Shift
from sidecar.decision.records import Decision
from sidecar.decision.suspensions import Suspension
from sidecar.ledger import governance, queries
from sidecar.ledger.pages import LARGEST_SIZE
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Intent
from sidecar.policy.tables import ModelTable
from training.retraining.gate import GateReason

MOST_DECISIONS = 5000
NO_BAND = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerouted:
    """The same inputs under two calibrators.

    Attributes:
        shift: from which action to which.
        bands: how many went from which band to which; `none` where nothing can be read off.
    """

    shift: Shift
    bands: Mapping[tuple[str, str], int]

    @property
    def moved(self) -> float:
        """The share that changes its band, in [0, 1]."""
        return sum(n for (old, new), n in self.bands.items() if old != new) / max(self.shift.n, 1)

    def shares(self) -> dict[str, tuple[float, float]]:
        """The share of each action before and after."""
        total = max(self.shift.n, 1)
        before: Counter[str] = Counter()
        after: Counter[str] = Counter()
        for (old, new), n in self.shift.moves.items():
            before[old.value] += n
            after[new.value] += n
        return {name: (before[name] / total, after[name] / total) for name in sorted(before | after)}

    def statistics(self) -> dict[str, float]:
        """The numbers as metrics."""
        numbers = {
            "shift_decisions": float(self.shift.n),
            "shift_band_changed": self.moved,
            "shift_automatic_before": self.shift.before,
            "shift_automatic_after": self.shift.after,
        }
        for action, (before, after) in self.shares().items():
            numbers[f"shift_{action.lower()}_before"] = before
            numbers[f"shift_{action.lower()}_after"] = after
        return numbers

    def as_document(self) -> dict[str, object]:
        """The moves as plain JSON values, the most frequent first."""
        return {
            "decisions": self.shift.n,
            "automatic": {"before": self.shift.before, "after": self.shift.after},
            "actions": {name: {"before": old, "after": new} for name, (old, new) in self.shares().items()},
            "bands": [
                {"from": old, "to": new, "decisions": n}
                for (old, new), n in sorted(self.bands.items(), key=lambda item: (-item[1], item[0]))
            ],
        }

    def reasons(self, limit: float | None) -> tuple[GateReason, ...]:
        """What the gate says of it.

        Args:
            limit: the largest shift of the automatic share that goes live without a person; None where
                nothing was in force before, and so nothing is shifted.
        """
        if not self.shift.n:
            return (
                GateReason(code="ROUTING_SHIFT", text="the ledger has no recent decision to route again"),
            )
        text = (
            f"of the last {self.shift.n} decisions {self.moved:.1%} change their band; automatic "
            f"{self.shift.before:.1%} before, {self.shift.after:.1%} after"
        )
        reasons = [GateReason(code="ROUTING_SHIFT", text=text)]
        if limit is not None and not dialect.goes_live(self.shift.size, limit):
            needs = (
                f"the automatic share changes by {self.shift.size:.1%}, and admission.max_auto_shift is "
                f"{limit:.1%}: sidecars refuse it until a person approves, `promote VERSION --approve`"
            )
            reasons.append(GateReason(code="SHIFT_NEEDS_APPROVAL", text=needs, blocking=True))
        return tuple(reasons)


def measure(
    decisions: Sequence[Decision],
    table: ModelTable,
    *,
    before: calibrators.Calibrator | None,
    after: calibrators.Calibrator,
    suspended: Iterable[Suspension] = (),
) -> Rerouted:
    """The actions and bands of recorded inputs under both; see `sidecar.decision.recompute.shift`, which admits by it.

    Args:
        decisions: of the model.
        table: of the model, as it is now.
        before: the champion; None: nothing is in force, and everything holds.
        after: the challenger.
        suspended: the suspensions in force.
    """
    bands: Counter[tuple[str, str]] = Counter()
    for decision in decisions:
        old, new = (recompute.primary_band(decision, table, each) or NO_BAND for each in (before, after))
        bands[old, new] += 1
    found = recompute.shift(decisions, table, before=before, after=after, suspended=suspended)
    return Rerouted(shift=found, bands=dict(bands))


def recent(
    ledger: Ledger, model: str, *, versions: tuple[str, ...] | None = None, count: int = MOST_DECISIONS
) -> list[Decision]:
    """The newest answer of each of the last decisions of a model that a caller could act on, newest first.

    Args:
        ledger: a snapshot.
        model: its name.
        versions: only of these model versions; None: any.
        count: at most so many.
    """
    answers: list[Decision] = []
    token = ""
    while len(answers) < count:
        page = ledger.read(queries.decisions, model=model, page_size=LARGEST_SIZE, page_token=token)
        for stored in page.items:
            answer = stored.answers[-1]
            if answer.query.intent is Intent.LIVE and (
                versions is None or answer.query.model_version in versions
            ):
                answers.append(answer)
        token = page.next_page_token
        if not token:
            break
    return answers[:count]


def in_force(ledger: Ledger) -> tuple[Suspension, ...]:
    """The suspensions that nobody lifted."""
    return suspensions.merge(suspensions.Suspensions(), ledger.read(governance.suspensions)).active()

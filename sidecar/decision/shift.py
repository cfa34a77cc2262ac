"""What another calibrator would change about the routing of recent decisions."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from calibrators import Calibrator
from sidecar.decision import decide, recompute, suspensions
from sidecar.decision.records import Decision
from sidecar.decision.suspensions import Suspension
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, AnswerSource, Reason
from sidecar.policy.tables import ModelTable


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How the same inputs are routed before and after.

    Attributes:
        n: inputs.
        moves: how many went from which action to which.
    """

    n: int
    moves: Mapping[tuple[Action, Action], int]

    @property
    def before(self) -> float:
        """The share of automatic actions before, in [0, 1]; 0 without inputs."""
        return sum(n for (old, _), n in self.moves.items() if old in AUTOMATIC_ACTIONS) / max(self.n, 1)

    @property
    def after(self) -> float:
        """The share after, in [0, 1]."""
        return sum(n for (_, new), n in self.moves.items() if new in AUTOMATIC_ACTIONS) / max(self.n, 1)

    @property
    def size(self) -> float:
        """By how much the share changes, in either direction, in [0, 1]."""
        return abs(self.after - self.before)


def shift(
    decisions: Iterable[Decision],
    table: ModelTable,
    *,
    before: Calibrator | None,
    after: Calibrator,
    suspended: Iterable[Suspension] = (),
) -> Shift:
    """The actions of recorded inputs under one calibrator and under another.

    Both are taken as just confirmed, so that the age of the one in force does not count as a shift. Floors
    bind both: mandatory review and suspensions as they are now, detectors as they hit then. Fallback steps
    count with what they answered then.

    Args:
        decisions: of the model.
        table: of the model, as it is now.
        before: the calibrator in force; None: nothing is, and everything holds.
        after: the newcomer.
        suspended: the suspensions in force.
    """
    brake = tuple(suspended)
    moves: Counter[tuple[Action, Action]] = Counter()
    for decision in decisions:
        fresh = msgspec.structs.replace(decision, stale_seconds=0.0)
        moves[_action(fresh, table, before, brake), _action(fresh, table, after, brake)] += 1
    return Shift(n=moves.total(), moves=dict(moves))


def _action(
    decision: Decision, table: ModelTable, calibrator: Calibrator | None, brake: tuple[Suspension, ...]
) -> Action:
    floors = tuple(hit for hit in decision.floors if hit.reason is Reason.DETECTOR)
    if brake:
        floors += suspensions.hits(
            brake,
            tenant=decision.tenant,
            model=decision.model,
            model_version=decision.model_version,
            band=primary_band(decision, table, calibrator),
            category=decision.category,
            source=AnswerSource.PRIMARY,
        )
    return recompute.again(decision, table, calibrator, floors).verdict.action


def primary_band(decision: Decision, table: ModelTable, calibrator: Calibrator | None) -> str:
    """The band of the primary model's recorded answer under a calibrator; empty where it has none."""
    case = decide.Case(
        category=decision.category,
        evidence=decision.evidence,
        model_version=decision.model_version,
        intent=decision.intent,
        stale_seconds=decision.stale_seconds,
    )
    return decide.band_of(decide.assess(case, table, calibrator), decision.category, table)

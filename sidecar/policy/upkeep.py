"""What a policy says beside its decisions: who reviews and when, and what keeps a model's routing honest.

That is when to raise an alarm, when to refit, and what may go live unasked.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from sidecar.policy import categories
from sidecar.policy.actions import TaskKind
from sidecar.policy.fields import Duration, Rate, Strict, TimeZone, Word

MOST_REVIEWERS = 9
OVERLAPPING_KINDS = frozenset({TaskKind.HOLD, TaskKind.BATCH, TaskKind.AUDIT, TaskKind.ESCALATION})
EXPIRING_KINDS = frozenset({TaskKind.HOLD, TaskKind.ESCALATION})
"""An audit that expired would be truth lost, and of the hardest cases first."""

Kind = Annotated[TaskKind, Field(strict=False)]
Reviewers = Annotated[int, Field(ge=1, le=MOST_REVIEWERS)]


class Review(Strict):
    """When review tasks are due, who judges them, and how far behind the queue may fall.

    Attributes:
        audit_grace: how long after the end of a week the sample of an audit budget waits for decisions that
            sidecars have not forwarded yet; what comes later is counted, and never sampled.
        blind_share: of the tasks, those whose reviewer sees neither prediction nor confidence, so that it can
            be measured how much seeing them leads a reviewer.
        overlap: how many different reviewers judge a task of a kind; 1 where it is not named.
        skills: what a reviewer of a category must be trained for.
        expire_after: how long after its due time a task of a kind ends undecided, with outcome EXPIRED, which
            permits nothing; never where it is not named, and never where review is mandatory.
    """

    time_zone: TimeZone = "UTC"
    hold_due: Duration = 14400.0
    escalation_due: Duration = 3600.0
    audit_due: Duration = 604800.0
    audit_grace: Duration = 21600.0
    max_backlog_age: Duration = 14400.0
    blind_share: Rate = 0.0
    overlap: dict[Kind, Reviewers] = Field(default_factory=dict)
    skills: dict[str, Word] = Field(default_factory=dict)
    expire_after: dict[Kind, Duration] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _only("overlap", self.overlap, OVERLAPPING_KINDS)
        _only("expire_after", self.expire_after, EXPIRING_KINDS)
        normalised = [categories.normalise(name) for name in self.skills]
        if not all(normalised) or len(set(normalised)) != len(normalised):
            raise ValueError("skills: a category has no name, or stands twice after normalising")
        return self

    def skill_for(self, category: str) -> str:
        """What a reviewer of a category, in normal form, must be trained for; empty: nothing."""
        if not self.skills:
            return ""
        return next(
            (skill for name, skill in self.skills.items() if categories.normalise(name) == category), ""
        )


def _only(key: str, given: Mapping[TaskKind, object], permitted: frozenset[TaskKind]) -> None:
    wrong = sorted(kind for kind in given if kind not in permitted)
    if wrong:
        raise ValueError(f"{key}: {wrong[0]} cannot stand here; only {', '.join(sorted(permitted))}")


FalseAlarmRate = Annotated[Rate, Field(gt=0, le=0.5)]
Index = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]


class WatchSettings(Strict):
    """How `python -m training watch` decides.

    Attributes:
        false_alarm_rate: at most this probability that a stratum whose promise holds raises an alarm within its
            first 2,000 audited labels, however often it is looked at in between.
        shift_warning: the population stability index of the score distribution from which on it warns.
    """

    false_alarm_rate: FalseAlarmRate = 0.05
    shift_warning: Index = 0.1


class Retrain(Strict):
    """When `watch` starts a retrain, and what a retrain may use.

    Attributes:
        on_alarm: when a calibration or accuracy alarm is raised.
        after_labels: when there are this many new labels since the champion's fit; None: never for that.
        after: when the champion's fit is older; None: never for that.
        promote: whether the gate's acceptance promotes; otherwise a person does.
        undrawn_labels: whether labels that were not drawn with a known probability may train, too. They are
            no sample of anything, and they never enter an estimate.
    """

    on_alarm: bool = False
    after_labels: int | None = Field(None, ge=1)
    after: Duration | None = None
    promote: bool = False
    undrawn_labels: bool = False


class Admission(Strict):
    """Which new calibrator a sidecar takes without a person's approval.

    Attributes:
        max_auto_shift: the most by which the share of automatic decisions may change, measured by putting the
            last inputs through the newcomer; a version that is tagged as approved may change more. A file has
            nothing that could be tagged, so what it would change is only said.
        recent: how many of the last inputs are kept for that; 0: none, and nothing is measured.
    """

    max_auto_shift: Rate = 0.10
    recent: int = Field(1000, ge=0, le=100_000)

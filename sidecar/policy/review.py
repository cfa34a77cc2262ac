"""What a policy says about the review queue."""

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

"""How a decision's labels were planned: through which tasks, and so with which probability."""

from collections.abc import Iterable, Set

import msgspec

from sidecar.decision.records import Decision
from sidecar.decision.tasks import BLOCKING_KINDS
from sidecar.policy.actions import TaskKind


class TaskLink(msgspec.Struct, frozen=True, kw_only=True):
    """What the resolution of labels needs of a task of the decision.

    Attributes:
        task_id: the task.
        kind: why it exists.
        answer_id: the answer that it is about.
        origin_kind: of an adjudication, the kind of task that it settles.
        criterion: by which the task judges.
        inclusion: what the ledger adds to the plan. Of an audit under a budget: the inclusion probability that
            follows from its closed period; of a next-day review: 1 where its whole batch was reviewed. None
            where there is nothing to add.
    """

    task_id: str
    kind: TaskKind
    answer_id: str
    origin_kind: TaskKind | None = None
    criterion: str = "correct"
    inclusion: float | None = None

    @property
    def subject_kind(self) -> TaskKind:
        """The kind whose plan holds: an adjudication follows from every disagreement on what it settles."""
        return self.origin_kind or self.kind


def propensity(
    task: TaskLink | None,
    answer: Decision,
    criterion: str,
    *,
    told: Set[TaskKind],
    links: Iterable[TaskLink],
) -> float | None:
    """With which probability an answer was planned to be labelled, in (0, 1]; None: that is not known.

    1 where a task of every such decision told something too, or the whole batch of a day was reviewed: the
    answer was sure to be labelled, audit or not. Else that of the audit: the rate in force, or under a budget
    what its closed period says. A batch of which a part was reviewed is no sample: who took which is unknown.

    Args:
        task: that the label came from; None: from none.
        answer: that it judges.
        criterion: by which it judges.
        told: the kinds of task from which labels say something about this answer, by this criterion.
        links: the tasks of the decision.
    """
    if task is None:
        return None
    if told & BLOCKING_KINDS:
        return 1.0
    audit = None
    for link in links:
        if link.kind is TaskKind.AUDIT:
            audit = link
        elif _reviewed_with_its_batch(link, answer, criterion):
            # Whatever this one label came from: its neighbours of that day have no other weight either.
            return 1.0
    if task.subject_kind is not TaskKind.AUDIT or answer.verdict.audit_rate <= 0.0:
        return None
    if answer.verdict.audit_budget:
        return None if audit is None else audit.inclusion
    return answer.verdict.audit_rate


def _reviewed_with_its_batch(link: TaskLink, answer: Decision, criterion: str) -> bool:
    whole = link.kind is TaskKind.BATCH and link.inclusion == 1.0
    return whole and link.answer_id == answer.answer_id and link.criterion == criterion

"""The use cases of the review queue: lease, extend, complete, decline, release, and what ends by itself.

Each is one transaction: the task, its slots, the label, the outcome and the row that says who did it change
together or not at all.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from sidecar import errors
from sidecar.decision import due, labels, tasks
from sidecar.decision.tasks import Completion, Task, TaskState
from sidecar.ledger import artifacts, leases
from sidecar.ledger.leases import LeaseEvent, ReviewTransaction
from sidecar.ledger.outcomes import Outcome
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import TaskKind
from sidecar.policy.upkeep import Review
from sidecar.service.principals import Principal
from sidecar.service.review import bell, completion, lease, screen
from sidecar.service.review.completion import ReviewFinding
from sidecar.service.review.lease import Held, Wanted

MOST_REMEMBERED = 256
"""How many policies' class names are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What became of a completion: `stale` if the lease was no longer the task's."""

    task: Task
    stale: bool


class ReviewQueue:
    """One instance serves all threads."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        review: Callable[[], Review],
        classes: Callable[[Task], tuple[str, ...]],
        sidecar_id: str,
    ) -> None:
        """Takes what it needs.

        Args:
            ledger: where the queue is.
            review: what the policy in force says about it.
            classes: see `screen.shown`.
            sidecar_id: who records.
        """
        self._ledger = ledger
        self._review = review
        self._classes = classes
        self._sidecar_id = sidecar_id
        self.news = bell.Bell()

    def shown(self, task: Task) -> screen.Shown:
        """What a reviewer sees of a task."""
        return screen.shown(task, self._classes(task))

    def lease(self, principal: Principal, wanted: Wanted, size_of: Callable[[Task], int]) -> list[Held]:
        """Takes the most urgent tasks that the principal may and wants to take; see `lease.lease`."""
        return leases.review(
            self._ledger, lambda transaction: lease.lease(transaction, principal, wanted, size_of)
        )

    def extend(self, principal: Principal, task_id: str, fence: int, lease_seconds: float) -> Held:
        """Keeps a lease longer; see `lease.extend`."""
        return leases.review(
            self._ledger,
            lambda transaction: lease.extend(transaction, principal, task_id, fence, lease_seconds),
        )

    def decline(self, principal: Principal, task_id: str, fence: int, explanation: str) -> Task:
        """Gives a task back for good; see `lease.give_back`."""
        return leases.review(
            self._ledger,
            lambda transaction: lease.give_back(
                transaction, principal, task_id, fence, "DECLINED", explanation
            ),
        )

    def release(self, principal: Principal, task_id: str, fence: int) -> Task:
        """Gives a task back for anybody; see `lease.give_back`."""
        return leases.review(
            self._ledger,
            lambda transaction: lease.give_back(transaction, principal, task_id, fence, "RELEASED", ""),
        )

    def complete(self, principal: Principal, task_id: str, fence: int, finding: ReviewFinding) -> Completed:
        """Ends a lease with a verdict; with the last verdict that is missing, the task, and so the decision.

        A completion is taken as long as nobody else got the task after the lease ended. Later, it is kept as
        a stale label, which counts for nothing. The same one again changes nothing.

        Raises:
            errors.NotFound: there is no such task.
            errors.InvalidRequest: the finding says nothing, too much, or a contradiction.
            errors.NotPermitted: only a person may end this task, or only somebody else.
            errors.LeaseLost: the principal never had this lease.
            errors.AlreadyCompleted: it completed the lease before, otherwise.
        """

        def work(transaction: ReviewTransaction) -> Completed:
            task = lease.locked(transaction, task_id)
            completion.check_form(task, finding)
            judgement = completion.completion(task, finding, principal, transaction.now)
            slot = next((each for each in task.slots if each.fence == fence and fence > 0), None)
            if slot is not None and slot.completion is not None and slot.reviewer == principal.name:
                if not completion.same(slot.completion, judgement):
                    raise errors.AlreadyCompleted
                return Completed(task=task, stale=False)
            if (
                slot is None
                or slot.reviewer != principal.name
                or task.state
                in (
                    TaskState.EXPIRED,
                    TaskState.WITHDRAWN,
                )
            ):
                self._keep_stale(transaction, task, fence, finding, principal)
                return Completed(task=task, stale=True)
            answers = transaction.answers(task.decision_id)
            completion.check_permission(task, finding, principal, answers)
            transaction.complete(task, slot.slot, judgement)
            self._add_label(transaction, task, slot.slot, fence, finding, principal)
            lease.record(transaction, task, slot, "COMPLETED", principal, note=judgement.explanation)
            self._settle(transaction, lease.locked(transaction, task_id))
            return Completed(task=lease.locked(transaction, task_id), stale=False)

        completed = leases.review(self._ledger, work)
        self.news.ring()
        return completed

    def expire(self) -> int:
        """Ends the tasks that the policy lets end undecided, and that nobody has; how many these are.

        Their decisions get the outcome EXPIRED, which permits nothing.
        """

        def work(transaction: ReviewTransaction) -> int:
            count = 0
            for task in transaction.overdue():
                if any(slot.is_leased(transaction.now) for slot in task.slots):
                    continue
                if task.mandatory or any(
                    each.verdict.mandatory for each in transaction.answers(task.decision_id)
                ):
                    continue
                transaction.end(task, TaskState.EXPIRED)
                transaction.add_outcome(
                    Outcome(
                        decision_id=task.decision_id,
                        tenant=task.tenant,
                        task_id=task.task_id,
                        kind="EXPIRED",
                        decided_at=transaction.now,
                    )
                )
                transaction.record(
                    LeaseEvent(
                        task_id=task.task_id,
                        slot=0,
                        fence=task.fence,
                        action="EXPIRED",
                        principal="",
                        by_person=False,
                    )
                )
                count += 1
            return count

        count = leases.review(self._ledger, work)
        if count:
            self.news.ring()
        return count

    def _keep_stale(
        self,
        transaction: ReviewTransaction,
        task: Task,
        fence: int,
        finding: ReviewFinding,
        principal: Principal,
    ) -> None:
        issued = transaction.issued(task.task_id, fence)
        if issued is None or issued.principal != principal.name:
            raise errors.LeaseLost(f"{principal.name} never had a lease with fence {fence} of this task")
        known = transaction.has_label(labels.REVIEW_SOURCE, _event_id(task, issued.slot, fence))
        self._add_label(transaction, task, issued.slot, fence, finding, principal, stale=True)
        if not known:
            transaction.record(
                msgspec.structs.replace(issued, action="COMPLETED_LATE", note=finding.explanation)
            )

    def _add_label(
        self,
        transaction: ReviewTransaction,
        task: Task,
        slot: int,
        fence: int,
        finding: ReviewFinding,
        principal: Principal,
        *,
        stale: bool = False,
    ) -> None:
        label = completion.label(
            task,
            finding,
            event_id=_event_id(task, slot, fence),
            reviewer=principal.name,
            now=transaction.now,
            sidecar_id=self._sidecar_id,
        )
        transaction.add_label(msgspec.structs.replace(label, stale=stale))

    def _settle(self, transaction: ReviewTransaction, task: Task) -> None:
        """Ends a task whose reviews are all done: with an outcome, or with a task that settles it."""
        judgements: list[Completion] = [slot.completion for slot in task.slots if slot.completion is not None]
        if len(judgements) < len(task.slots):
            return
        if task.state in tasks.WAITING:
            transaction.end(task, TaskState.COMPLETED)
        judgements.sort(key=lambda each: each.completed_at)
        if completion.agree(task, judgements):
            digest = screen.digest(self.shown(task))
            ended = completion.outcome(task, judgements, shown_digest=digest, now=transaction.now)
            if ended is not None:
                transaction.add_outcome(ended)
            return
        (planned,) = due.plan((TaskKind.ADJUDICATION,), transaction.now, self._review())
        planned = msgspec.structs.replace(planned, skill=task.skill, criterion=task.criterion)
        adjudication_id = tasks.task_id(task.task_id, TaskKind.ADJUDICATION)
        transaction.open_adjudication(task, adjudication_id, planned)
        transaction.record(
            LeaseEvent(
                task_id=task.task_id,
                slot=0,
                fence=task.fence,
                action="DISAGREED",
                principal="",
                by_person=False,
                note=adjudication_id,
            )
        )


def _event_id(task: Task, slot: int, fence: int) -> str:
    return f"{task.task_id}:{slot}:{fence}"


def classes_by_policy(ledger: Ledger) -> Callable[[Task], tuple[str, ...]]:
    """Tells a task's classes from the policy that its decision was made under.

    That policy rather than the one in force: what a reviewer was shown must not change with it.
    """

    @functools.lru_cache(maxsize=MOST_REMEMBERED)
    def classes(digest: str, model: str) -> tuple[str, ...]:
        loaded = ledger.read(artifacts.policy_of, digest)
        if loaded is None:
            # Not remembered: the ledger may not have it yet.
            raise LookupError(digest)
        entry = loaded.policy.models.get(model)
        return () if entry is None else tuple(entry.classes)

    def of_task(task: Task) -> tuple[str, ...]:
        if task.decision.query.evidence.kind not in ("probabilities", "logits"):
            return ()
        try:
            return classes(task.decision.provenance.policy_digest, task.model)
        except (LookupError, errors.PolicyRefused):
            return ()

    return of_task

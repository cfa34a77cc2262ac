"""What a completion means: what can be said, who may say it, and the label and outcome that it makes."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from sidecar import errors
from sidecar.decision import labels
from sidecar.decision.records import Decision, Label
from sidecar.decision.tasks import BLOCKING_KINDS, Completion, Correctness, Disposition, Task
from sidecar.errors import Violation
from sidecar.ledger.outcomes import Outcome, OutcomeKind
from sidecar.policy.actions import TaskKind
from sidecar.service.principals import Principal

RELEASING = ("RELEASE", "RELEASE_CORRECTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewFinding:
    """What a reviewer sends: the truth, apart from it the permission, and words."""

    verdict: Correctness | None
    true_class: str = ""
    disposition: Disposition | None = None
    explanation: str = ""
    true_category: str | None = None


def check_form(task: Task, finding: ReviewFinding) -> None:
    """Lets pass what can be said about the task.

    Raises:
        errors.InvalidRequest: naming each field that says nothing, too much or a contradiction.
    """
    bad = [*_verdict_problems(task, finding), *_disposition_problems(task, finding)]
    if bad:
        raise errors.InvalidRequest(tuple(bad))


def check_permission(
    task: Task, finding: ReviewFinding, principal: Principal, answers: Sequence[Decision]
) -> None:
    """Lets pass whoever may give the permission, or refuse it.

    In a mandatory category only a person ends a hold, either way, and nobody releases what they asked for.

    Args:
        task: locked.
        finding: well formed.
        principal: as authenticated.
        answers: every answer of the decision: a mandatory one binds the others.

    Raises:
        errors.NotPermitted: the principal may not.
    """
    if task.subject_kind not in BLOCKING_KINDS or not (
        task.mandatory or any(each.verdict.mandatory for each in answers)
    ):
        return
    if not principal.is_person:
        text = f"category {task.category!r} always needs a person, and {principal.name} is none"
        if principal.is_anonymous:
            text += (
                ": without principals nobody is known to be one; set TRUEBAND_PRINCIPALS to a file that "
                "names persons, and call with a token (--token-file)"
            )
        raise errors.NotPermitted(text)
    if finding.disposition in RELEASING and principal.name in {
        task.principal,
        *(each.query.principal for each in answers),
    }:
        raise errors.NotPermitted(
            f"{principal.name} asked for this decision, and in category {task.category!r} nobody releases "
            "what they asked for themselves; give the task back for somebody else"
        )


def completion(task: Task, finding: ReviewFinding, principal: Principal, now: float) -> Completion:
    """What is kept of a finding that passed the checks."""
    return Completion(
        reviewer=principal.name,
        by_person=principal.is_person,
        verdict=finding.verdict,
        true_class=finding.true_class,
        true_category=finding.true_category,
        correct=_correct(task, finding),
        disposition=finding.disposition,
        explanation=finding.explanation,
        completed_at=now,
    )


def same(one: Completion, other: Completion) -> bool:
    """Whether two completions say the same, apart from when."""
    return msgspec.structs.replace(one, completed_at=other.completed_at) == other


def label(
    task: Task, finding: ReviewFinding, *, event_id: str, reviewer: str, now: float, sidecar_id: str
) -> Label:
    """The label that a finding is."""
    correct: bool | None = None
    true_class: str | None = None
    note = finding.explanation
    if finding.true_class and labels.answer_class(task.decision, "FINAL") is not None:
        true_class = finding.true_class
    elif finding.verdict in ("CORRECT", "INCORRECT"):
        correct = finding.verdict == "CORRECT"
        if (
            finding.true_class
        ):  # nothing to compare it with: the verdict counts, and the class is kept in words
            note = f"true class: {finding.true_class}" + (f"\n{note}" if note else "")
    return Label(
        decision_id=task.decision_id,
        source=labels.REVIEW_SOURCE,
        event_id=event_id,
        correct=correct,
        true_class=true_class,
        cannot_tell=correct is None and true_class is None,
        true_category=finding.true_category,
        criterion=task.criterion,
        task_id=task.task_id,
        channel="AUDIT_TASK" if task.subject_kind is TaskKind.AUDIT else "REVIEW_TASK",
        reviewer=reviewer,
        note=note,
        observed_at=now,
        recorded_at=now,
        sidecar_id=sidecar_id,
    )


def agree(task: Task, completions: Sequence[Completion]) -> bool:
    """Whether all reviewers of a task found the same: the truth, and where they gave one, the permission."""
    return len({(each.correct, _ending(task, each)) for each in completions}) == 1


def outcome(
    task: Task, completions: Sequence[Completion], *, shown_digest: str, now: float
) -> Outcome | None:
    """How the decision ends by what its reviewers agree on; None where that ends nothing.

    An audit ends nothing: it looks at what was done, and nobody is to learn from an outcome what was drawn.
    """
    kind, final_class = _ending(task, completions[-1])
    if kind is None:
        return None
    answer = task.decision
    permits = kind in ("RELEASED", "CORRECTED")
    return Outcome(
        decision_id=task.decision_id,
        tenant=task.tenant,
        task_id=task.task_id,
        kind=kind,
        final_class=final_class,
        decided_by=", ".join(each.reviewer for each in completions),
        by_person=all(each.by_person for each in completions),
        shown_digest=shown_digest,
        decided_at=now,
        expires_at=now + (answer.expires_at - answer.decided_at) if permits else None,
        explanation="\n".join(each.explanation for each in completions if each.explanation),
    )


def _ending(task: Task, judgement: Completion) -> tuple[OutcomeKind | None, str]:
    """The outcome that a completion asks for, and the class that may be acted on then."""
    kind = task.subject_kind
    answered = labels.answer_class(task.decision, "FINAL") or ""
    if kind is TaskKind.BATCH:
        recalled = judgement.correct is False or judgement.disposition == "REFUSE"
        return ("RECALLED", "") if recalled else (None, "")
    if kind not in BLOCKING_KINDS:
        return None, ""
    if judgement.disposition == "RELEASE":
        return "RELEASED", answered
    if judgement.disposition == "RELEASE_CORRECTED":
        return ("RELEASED" if judgement.true_class == answered else "CORRECTED"), judgement.true_class
    return "REFUSED", ""


def _correct(task: Task, finding: ReviewFinding) -> bool | None:
    if finding.verdict == "CANNOT_TELL":
        return None
    if finding.verdict is not None:
        return finding.verdict == "CORRECT"
    given = labels.answer_class(task.decision, "FINAL")
    return None if given is None else finding.true_class == given


def _verdict_problems(task: Task, finding: ReviewFinding) -> list[Violation]:
    verdict, true_class = finding.verdict, finding.true_class
    answered = labels.answer_class(task.decision, "FINAL")
    if verdict == "CANNOT_TELL":
        return (
            [Violation("true_class", "goes with INCORRECT, and not with CANNOT_TELL")] if true_class else []
        )
    if task.blind:
        if verdict is not None:
            return [
                Violation(
                    "verdict", "the answer of a blind task is hidden: give true_class alone, or CANNOT_TELL"
                )
            ]
        return (
            []
            if true_class
            else [Violation("true_class", "is required in a blind task, or verdict CANNOT_TELL")]
        )
    if verdict is None:
        return [Violation("verdict", "is required: CORRECT, INCORRECT or CANNOT_TELL")]
    if verdict == "CORRECT" and true_class and true_class != answered:
        return [Violation("true_class", f"is {true_class!r}, and the answer {answered!r} was called correct")]
    if verdict == "INCORRECT" and true_class and true_class == answered:
        return [Violation("true_class", f"is {true_class!r}, which is the answer that was called incorrect")]
    return []


def _disposition_problems(task: Task, finding: ReviewFinding) -> list[Violation]:
    kind, disposition = task.subject_kind, finding.disposition
    if kind is TaskKind.AUDIT:
        text = "must be left out: an audit looks at what was done, and permits nothing"
        return [] if disposition is None else [Violation("disposition", text)]
    if kind is TaskKind.BATCH:
        text = "is REFUSE or left out: the answer of this task may be acted on already"
        return [] if disposition in (None, "REFUSE") else [Violation("disposition", text)]
    if disposition is None:
        text = "is required: RELEASE, RELEASE_CORRECTED or REFUSE; the caller waits for it"
        return [Violation("disposition", text)]
    if disposition == "RELEASE_CORRECTED" and not finding.true_class:
        return [Violation("true_class", "is required by RELEASE_CORRECTED: it is what may be acted on")]
    if disposition == "RELEASE" and task.blind:
        return [
            Violation("disposition", "is RELEASE_CORRECTED or REFUSE in a blind task, whose answer is hidden")
        ]
    if disposition == "RELEASE" and finding.verdict == "INCORRECT":
        text = (
            "RELEASE would let the caller act on an answer called incorrect: RELEASE_CORRECTED or REFUSE it"
        )
        return [Violation("disposition", text)]
    return []

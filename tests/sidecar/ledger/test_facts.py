"""What a report counts, against a ledger that was counted by hand."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from sidecar.decision.records import Decision, InForce, Label, PlannedTask, Record
from sidecar.decision.steps import CalibratorReference
from sidecar.decision.tasks import Completion, TaskState, task_id
from sidecar.ledger import facts as facts
from sidecar.ledger import intake, labelled, leases, review_facts
from sidecar.ledger.leases import LeaseEvent, ReviewTransaction
from sidecar.ledger.outcomes import Outcome
from sidecar.ledger.review_facts import Silence
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Action, AnswerSource, Intent, TaskKind
from tests import builders

MODEL = "lead-classifier"
MIDNIGHT = datetime(2026, 2, 3, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86400.0
LATER = MIDNIGHT + 40 * DAY
FOREVER = float("inf")


def planned(kind: TaskKind, due_at: float, **changes: object) -> tuple[PlannedTask, ...]:
    return (PlannedTask(kind=kind, due_at=due_at, **changes),)  # type: ignore[arg-type]


@pytest.fixture
def ledger_url(database_url: str) -> str:
    return database_url


def test_answers_that_are_alike_are_counted_together(ledger: Ledger) -> None:
    calibrator = CalibratorReference(name="c", version="1", kind="platt", digest="d1")
    ledger.write(
        intake.take_in,
        [
            builders.decision(1, calibrated_confidence=0.9, drawn=True, calibrator=calibrator),
            builders.decision(2, calibrated_confidence=0.96, calibrator=calibrator),
            builders.decision(3, calibrated_confidence=None, calibrator=calibrator),
            builders.decision(4, category="refunds", calibrator=calibrator),
            builders.decision(5, source=AnswerSource.RULES, calibrator=calibrator),
            builders.decision(6, may_act=False, enforced=False, calibrator=calibrator),
            builders.decision(
                7, may_act=False, mandatory=True, action=Action.HOLD_FOR_REVIEW, audit_rate=0.0
            ),
            builders.decision(8, intent=Intent.SHADOW, may_act=False, calibrator=calibrator),
            builders.decision(9, model="another"),
        ],
    )
    counts = ledger.read(facts.answers, MODEL, None, None)
    assert sum(count.n for count in counts) == 8
    general = next(count for count in counts if count.n == 3)
    assert (general.category, general.band, general.action) == ("general", "auto", Action.AUTO_ROUTE)
    assert (general.n_drawn, general.n_calibrated) == (1, 2)
    assert general.calibrated_sum == pytest.approx(1.86)
    assert (general.calibrator_digest, general.policy_digest) == ("d1", "p" * 64)
    assert [count.source for count in counts].count(AnswerSource.RULES) == 1
    assert sum(count.n for count in counts if count.mandatory) == 1
    assert sum(count.n for count in counts if not count.enforced) == 1
    assert sum(count.n for count in counts if count.intent is Intent.SHADOW) == 1
    assert ledger.read(facts.answers, "nobody", None, None) == []


def test_a_window_is_closed_below_and_open_above(ledger: Ledger) -> None:
    times = [MIDNIGHT - 1.0, MIDNIGHT, MIDNIGHT + HOUR, MIDNIGHT + DAY, MIDNIGHT + DAY + HOUR]
    ledger.write(intake.take_in, [builders.decision(n, decided_at=time) for n, time in enumerate(times)])

    def counted(since: float | None, until: float | None) -> tuple[int, int]:
        by_stratum = sum(each.n for each in ledger.read(facts.strata, MODEL, since, until))
        return by_stratum, sum(each.n for each in ledger.read(facts.answers, MODEL, since, until))

    assert counted(None, None) == (5, 5)
    assert counted(MIDNIGHT, MIDNIGHT + DAY) == (2, 2)
    assert counted(MIDNIGHT, MIDNIGHT + DAY + 1) == (3, 3)
    assert counted(MIDNIGHT + 1, MIDNIGHT + DAY + 1) == (2, 2)
    assert counted(MIDNIGHT + 1, MIDNIGHT + HOUR) == (0, 0)
    assert counted(MIDNIGHT + HOUR, MIDNIGHT + HOUR + 1) == (1, 1)
    assert counted(MIDNIGHT - 1, None) == (5, 5)
    assert counted(None, MIDNIGHT + HOUR) == (2, 2)
    assert counted(MIDNIGHT - 0.5, MIDNIGHT + 0.5) == (1, 1)


def test_a_cut_day_has_the_same_strata_as_a_whole_one(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in,
        [
            builders.decision(1, decided_at=MIDNIGHT + HOUR, drawn=True),
            builders.decision(
                2, decided_at=MIDNIGHT + HOUR, band="flagged", action=Action.AUTO_ROUTE_FLAGGED
            ),
        ],
    )
    ledger.write(
        intake.take_in, [builders.decision(3, decided_at=MIDNIGHT + 2 * HOUR, may_act=False, sidecar_id="b")]
    )
    whole = ledger.read(facts.strata, MODEL, MIDNIGHT, MIDNIGHT + DAY)
    cut = ledger.read(facts.strata, MODEL, MIDNIGHT + 1, MIDNIGHT + DAY - 1)
    assert whole == cut
    auto = next(each for each in whole if each.band == "auto")
    assert (auto.day, auto.n, auto.n_drawn, auto.n_acted) == (date(2026, 2, 3), 2, 1, 1)


def test_answers_of_one_decision_are_told(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in, [builders.decision(1), builders.decision(2), builders.decision(1, answer_id="again")]
    )
    assert ledger.read(facts.repeated, MODEL, None, None) == 1
    assert ledger.read(facts.repeated, "nobody", None, None) == 0


def test_what_was_in_force_when_the_window_began_is_of_it(ledger: Ledger) -> None:
    def force(slot: str, since: float, digest: str, sidecar: str = "s") -> InForce:
        return InForce(sidecar_id=sidecar, slot=slot, digest=digest, name="c", version="1", since=since)

    records: list[Record] = [
        force(f"calibrator:{MODEL}", 10.0, "old"),
        force(f"calibrator:{MODEL}", 20.0, "before"),
        force(f"calibrator:{MODEL}", 40.0, "within"),
        force(f"calibrator:{MODEL}", 60.0, "after"),
        force(f"calibrator:{MODEL}:v7", 30.5, "own"),
        force(f"challenger:{MODEL}", 35.0, "challenger"),
        force(f"calibrator:{MODEL}", 5.0, "elsewhere", sidecar="t"),
        force(f"calibrator:{MODEL}-two", 35.0, "another model"),
        force("policy", 35.0, "a policy"),
    ]
    ledger.write(intake.take_in, records)
    assert [each.digest for each in ledger.read(facts.in_force, MODEL, 30.0, 50.0)] == [
        "elsewhere",
        "before",
        "own",
        "challenger",
        "within",
    ]
    assert len(ledger.read(facts.in_force, MODEL, None, None)) == 7


def test_reviews_as_they_stood(ledger: Ledger) -> None:
    def audited(number: int, kind: TaskKind = TaskKind.AUDIT) -> Decision:
        return builders.decision(
            number,
            decided_at=MIDNIGHT + number,
            drawn=kind is TaskKind.AUDIT,
            tasks=planned(kind, MIDNIGHT + DAY),
        )

    def answer(number: int, kind: TaskKind = TaskKind.AUDIT) -> Label:
        return builders.label(
            number,
            task_id=task_id(f"decision-{number:06d}", kind),
            channel="AUDIT_TASK",
            recorded_at=MIDNIGHT + 10 * HOUR,
        )

    ledger.write(intake.take_in, [audited(n) for n in (1, 2, 3)])
    ledger.write(
        intake.take_in, [audited(4, TaskKind.BATCH), audited(5, TaskKind.HOLD), builders.decision(6)]
    )
    ledger.write(intake.take_in, [answer(1)])

    def end(transaction: ReviewTransaction) -> None:
        expired = transaction.lock(task_id("decision-000002", TaskKind.AUDIT))
        assert expired is not None
        transaction.end(expired, TaskState.EXPIRED)

    leases.review(ledger, end)
    found = ledger.read(review_facts.reviews, MODEL, None, None, as_of=4e9)
    assert [(each.decision_id[-1], each.kind, each.state) for each in found] == [
        ("1", TaskKind.AUDIT, TaskState.COMPLETED),
        ("2", TaskKind.AUDIT, TaskState.EXPIRED),
        ("3", TaskKind.AUDIT, TaskState.OPEN),
        ("4", TaskKind.BATCH, TaskState.OPEN),
        ("5", TaskKind.HOLD, TaskState.OPEN),
    ]
    assert [each.certain for each in found] == [False, False, False, False, True]
    before = ledger.read(review_facts.reviews, MODEL, None, None, as_of=MIDNIGHT + 9 * HOUR)
    assert {each.state for each in before} == {TaskState.OPEN}
    assert all(each.ended_at is None for each in before)
    assert ledger.read(review_facts.reviews, MODEL, None, None, as_of=MIDNIGHT) == []
    assert [
        each.decision_id[-1]
        for each in ledger.read(review_facts.reviews, MODEL, MIDNIGHT + 5, None, as_of=4e9)
    ] == ["5"]
    ledger.write(intake.take_in, [answer(4, TaskKind.BATCH)])
    by_kind = {each.kind: each for each in ledger.read(review_facts.reviews, MODEL, None, None, as_of=4e9)}
    assert by_kind[TaskKind.BATCH].certain, "all of that day's batch was reviewed"
    cut = {
        each.kind: each
        for each in ledger.read(review_facts.reviews, MODEL, None, None, as_of=MIDNIGHT + 9 * HOUR)
    }
    assert not cut[TaskKind.BATCH].certain


def test_declining_is_counted(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [builders.decision(1, drawn=True, tasks=planned(TaskKind.AUDIT, LATER))])
    identity = task_id("decision-000001", TaskKind.AUDIT)

    def decline(transaction: ReviewTransaction) -> None:
        event = LeaseEvent(
            task_id=identity, slot=0, fence=1, action="DECLINED", principal="ada", by_person=True
        )
        transaction.record(event)

    leases.review(ledger, decline)
    assert ledger.read(review_facts.reviews, MODEL, None, None, as_of=4e9)[0].declined == 1
    assert ledger.read(review_facts.reviews, MODEL, None, None, as_of=MIDNIGHT)[0].declined == 0


def test_why_nothing_is_told(ledger: Ledger) -> None:
    numbers = (1, 2, 3, 4)
    ledger.write(
        intake.take_in,
        [
            builders.decision(n, drawn=True, audit_rate=0.25, tasks=planned(TaskKind.AUDIT, LATER))
            for n in numbers
        ],
    )
    ledger.write(intake.take_in, [builders.decision(5, drawn=True, audit_budget=3, audit_draw=0.01)])

    def says(number: int, event: str, source: str = "desk", **said: object) -> Label:
        identity = task_id(f"decision-{number:06d}", TaskKind.AUDIT)
        return builders.label(number, event_id=event, source=source, task_id=identity, **said)

    ledger.write(
        intake.take_in,
        [
            says(1, "1", cannot_tell=True),
            says(2, "2", correct=True),
            says(2, "2b", source="other", correct=False),
            says(3, "3", correct=True, criterion="tone"),
        ],
    )
    ids = [f"decision-{number:06d}" for number in (1, 2, 3, 4, 5)]
    found = ledger.read(
        review_facts.unlabelled, MODEL, ids, criterion="correct", label_window_seconds=FOREVER, as_of=4e9
    )
    silences = [found[each].silence for each in ids]
    assert silences[:2] == [Silence.CANNOT_TELL, Silence.CONFLICTING]
    assert set(silences[2:]) == {Silence.UNUSABLE}
    assert found[ids[0]].propensities == {"answer-000001": 0.25}
    assert found[ids[4]].propensities == {}, "its period is not closed"
    early = ledger.read(
        review_facts.unlabelled,
        MODEL,
        ids,
        criterion="correct",
        label_window_seconds=FOREVER,
        as_of=MIDNIGHT - 40 * DAY,
    )
    assert {each.silence for each in early.values()} <= {Silence.UNUSABLE}


def test_the_queue(ledger: Ledger) -> None:
    def held(number: int, decided_at: float, due_at: float, kind: TaskKind = TaskKind.HOLD) -> Decision:
        return builders.decision(number, decided_at=decided_at, tasks=planned(kind, due_at))

    ledger.write(
        intake.take_in,
        [
            held(1, MIDNIGHT, MIDNIGHT + HOUR),
            held(2, MIDNIGHT + 4 * HOUR, MIDNIGHT + 9 * HOUR),
            held(3, MIDNIGHT + 6 * HOUR, MIDNIGHT + 11 * HOUR),
            held(4, MIDNIGHT + 12 * HOUR, MIDNIGHT + 20 * HOUR),
            held(5, MIDNIGHT, MIDNIGHT + 5 * DAY, TaskKind.AUDIT),
        ],
    )
    found = {each.kind: each for each in ledger.read(review_facts.queue, MODEL, as_of=MIDNIGHT + 10 * HOUR)}
    assert found.keys() == {TaskKind.HOLD, TaskKind.AUDIT}
    hold = found[TaskKind.HOLD]
    assert (hold.waiting, hold.overdue) == (3, 2)
    assert (hold.median_age_seconds, hold.oldest_age_seconds) == (6 * HOUR, 10 * HOUR)
    assert ledger.read(review_facts.queue, "nobody", as_of=LATER) == []


def test_how_held_decisions_ended(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in,
        [
            builders.decision(
                n, action=Action.HOLD_FOR_REVIEW, may_act=False, tasks=planned(TaskKind.HOLD, LATER)
            )
            for n in (1, 2, 3, 4)
        ],
    )
    ledger.write(intake.take_in, [builders.decision(5)])

    def ended(number: int, kind: str, at: float) -> Callable[[ReviewTransaction], None]:
        outcome = Outcome(
            decision_id=f"decision-{number:06d}",
            tenant="",
            task_id=task_id(f"decision-{number:06d}", TaskKind.HOLD),
            kind=kind,  # type: ignore[arg-type]
            by_person=kind != "EXPIRED",
            decided_at=at,
        )
        return lambda transaction: transaction.add_outcome(outcome)

    for number, kind, at in (
        (1, "RELEASED", 1.0),
        (1, "RECALLED", 9.0),
        (2, "RELEASED", 2.0),
        (3, "EXPIRED", 3.0),
    ):
        leases.review(ledger, ended(number, kind, MIDNIGHT + at))
    found = {
        (each.kind, each.by_person): each.n
        for each in ledger.read(review_facts.endings, MODEL, None, None, as_of=LATER)
    }
    assert found == {("RECALLED", True): 1, ("RELEASED", True): 1, ("EXPIRED", False): 1, (None, False): 1}
    then = {
        each.kind: each.n
        for each in ledger.read(review_facts.endings, MODEL, None, None, as_of=MIDNIGHT + 2.5)
    }
    assert then == {"RELEASED": 2, None: 2}
    assert ledger.read(review_facts.endings, "nobody", None, None, as_of=LATER) == []


def test_what_reviewers_said(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in,
        [
            builders.decision(
                number,
                drawn=True,
                tasks=planned(TaskKind.AUDIT, LATER, blind=blind, overlap=2 if blind else 1),
            )
            for number, blind in ((1, True), (2, True), (3, False), (4, False), (5, False))
        ],
    )

    def complete(number: int, slot: int, correct: bool | None) -> Callable[[ReviewTransaction], None]:
        def work(transaction: ReviewTransaction) -> None:
            task = transaction.lock(task_id(f"decision-{number:06d}", TaskKind.AUDIT))
            assert task is not None
            completion = Completion(
                reviewer=f"r{slot}", by_person=True, verdict=None, correct=correct, completed_at=MIDNIGHT
            )
            transaction.complete(task, slot, completion)

        return work

    for number, slot, correct in (
        (1, 0, False),
        (1, 1, False),
        (2, 0, True),
        (2, 1, False),
        (3, 0, True),
        (4, 0, False),
        (5, 0, None),
    ):
        leases.review(ledger, complete(number, slot, correct))
    found = ledger.read(review_facts.judgements, MODEL, None, None, as_of=LATER)
    assert (found.blind, found.blind_disagree, found.seen, found.seen_disagree) == (4, 3, 2, 1)
    assert (found.doubled, found.agreed) == (2, 1)
    assert ledger.read(review_facts.judgements, MODEL, None, None, as_of=MIDNIGHT - 1).blind == 0


def test_labels_as_they_were_known(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [builders.decision(1), builders.decision(2, decided_at=LATER)])
    ledger.write(
        intake.take_in,
        [
            builders.label(1, correct=True, recorded_at=MIDNIGHT, event_id="first"),
            builders.label(1, correct=False, recorded_at=LATER, event_id="second", observed_at=LATER),
            builders.label(2, correct=True, recorded_at=MIDNIGHT),
        ],
    )
    then = ledger.read(labelled.labelled, MODEL, as_of=MIDNIGHT + HOUR)
    assert [(each.decision.decision_id[-1], each.correct) for each in then] == [("1", True)]
    now = ledger.read(labelled.labelled, MODEL)
    assert [(each.decision.decision_id[-1], each.correct) for each in now] == [("1", False), ("2", True)]
    assert ledger.read(labelled.labelled, MODEL, as_of=MIDNIGHT - HOUR) == []

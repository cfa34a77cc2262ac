"""Audit periods on every database: closed once, by whoever comes first, over what all sidecars saw in time."""

import re
import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from sidecar.decision import audit, draws
from sidecar.decision.records import Decision, Label, PlannedTask
from sidecar.decision.tasks import TaskState, task_id
from sidecar.ledger import audit_members, audit_periods, database, intake, labelled, queue, schema
from sidecar.ledger.audit_members import PopulationCount, recount
from sidecar.ledger.audit_periods import AuditPeriod
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Action, Intent, TaskKind
from tests import builders

KEYS = {"k1": bytes(range(32)), "k2": bytes(range(32, 64))}
WEEK = "2026-W06"
MONDAY = audit.week_start(WEEK)
SUNDAY = audit.week_end(WEEK) - 1.0
GRACE = 21600.0
CLOSING = audit.week_end(WEEK) + GRACE
RATE, BUDGET = 0.5, 5
A, B = "sidecar-a", "sidecar-b"

MakeDecision = Callable[..., Decision]


class Clock:
    """The database's clock, which stands still until it is moved."""

    now = MONDAY

    def __call__(self, _: sa.Connection) -> float:
        return self.now


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(url: str, clock: Clock) -> Iterator[Ledger]:
    with Ledger(url, clock=clock) as made:
        made.migrate()
        yield made


@pytest.fixture
def decide() -> MakeDecision:
    """Makes the answer with a number, under the budget, drawn by its key."""

    def make(number: int, **changes: object) -> Decision:
        fields: dict[str, object] = {
            "audit_rate": RATE,
            "audit_budget": BUDGET,
            "audit_key_id": "k1",
            "decided_at": MONDAY + number,
        } | changes
        made = builders.decision(number, **fields)
        draw = draws.audit_draw(KEYS[made.provenance.audit_key_id], made.decision_id)
        if draw >= made.verdict.audit_rate:
            return builders.altered(made, drawn=False)
        planned = PlannedTask(kind=TaskKind.AUDIT, due_at=CLOSING + 604800.0, blind=number % 2 == 0)
        return builders.altered(
            made, drawn=True, audit_draw=draw if made.verdict.audit_budget else None, tasks=(planned,)
        )

    return make


def close(ledger: Ledger, clock: Clock, now: float = CLOSING) -> list[AuditPeriod]:
    clock.now = now
    return audit_periods.close_due(ledger, grace_seconds=GRACE)


def sampled(ledger: Ledger) -> set[str]:
    return {
        task.decision_id for task in ledger.read(queue.tasks, kinds=[TaskKind.AUDIT], page_size=100).items
    }


def expected(answers: list[Decision], budget: int = BUDGET) -> tuple[set[str], float]:
    """The sample by brute force, and tau."""
    found = sorted(
        {
            (draws.audit_draw(KEYS[each.provenance.audit_key_id], each.decision_id), each.decision_id)
            for each in answers
        }
    )
    below = [each for each in found if each[0] < RATE]
    return {each for _, each in below[:budget]}, below[budget][0] if len(below) > budget else RATE


def standings(ledger: Ledger, keys: dict[str, bytes] | None = KEYS) -> list[PopulationCount]:
    with ledger.reading() as at:
        return recount(audit_members.members(at), audit_periods.periods(at), keys)


# Closing.


def test_no_task_opens_before_the_week_and_the_grace_are_over(
    ledger: Ledger, clock: Clock, decide: MakeDecision
) -> None:
    answers = [decide(number) for number in range(1, 41)]
    ledger.write(intake.take_in, answers)
    assert sampled(ledger) == set()
    assert close(ledger, clock, audit.week_end(WEEK)) == []
    assert close(ledger, clock, CLOSING - 0.001) == []
    assert sampled(ledger) == set()
    (period,) = close(ledger, clock)
    wanted, tau = expected(answers)
    assert sampled(ledger) == wanted
    assert len(wanted) == BUDGET
    assert (period.n, period.n_drawn) == (40, sum(each.drawn for each in answers))
    assert (period.n_sampled, period.tau, period.inclusion) == (BUDGET, tau, tau)
    assert (period.key_ids, period.closed_at, period.population.week) == (("k1",), CLOSING, WEEK)
    assert ledger.read(audit_periods.periods) == [period]


def test_the_task_is_the_one_that_the_decision_planned(
    ledger: Ledger, clock: Clock, decide: MakeDecision
) -> None:
    answers = {each.decision_id: each for each in (decide(number) for number in range(1, 41))}
    ledger.write(intake.take_in, list(answers.values()))
    close(ledger, clock)
    for task in ledger.read(queue.tasks, kinds=[TaskKind.AUDIT], page_size=100).items:
        (planned,) = answers[task.decision_id].tasks
        assert (task.due_at, task.blind, len(task.slots)) == (planned.due_at, planned.blind, planned.overlap)
        assert (task.created_at, task.state) == (CLOSING, TaskState.OPEN)
        assert task.answer_id == answers[task.decision_id].answer_id


def test_a_budget_that_does_not_bind_leaves_the_rate(
    ledger: Ledger, clock: Clock, decide: MakeDecision
) -> None:
    answers = [decide(number) for number in range(1, 6)]
    ledger.write(intake.take_in, answers)
    (period,) = close(ledger, clock)
    assert period.tau == period.inclusion == RATE
    assert period.n_sampled == period.n_drawn == len(sampled(ledger)) > 0


def test_a_period_is_closed_once_and_never_written_again(
    ledger: Ledger, clock: Clock, decide: MakeDecision
) -> None:
    ledger.write(intake.take_in, [decide(number) for number in range(1, 41)])
    (period,) = close(ledger, clock)
    before = sampled(ledger)
    for later in (CLOSING + 1, CLOSING + 604800 * 50):
        assert close(ledger, clock, later) == []
    assert ledger.read(audit_periods.periods) == [period]
    assert sampled(ledger) == before


def test_any_number_of_sidecars_may_close_at_once(
    ledger: Ledger, url: str, clock: Clock, decide: MakeDecision
) -> None:
    answers = [decide(number) for number in range(1, 81)]
    ledger.write(intake.take_in, answers)
    clock.now = CLOSING
    ready, closed, failures = threading.Barrier(4), [], []

    def work() -> None:
        with Ledger(url, clock=clock) as own:
            ready.wait()
            try:
                closed.extend(audit_periods.close_due(own, grace_seconds=GRACE))
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(closed) == 1
    assert ledger.read(audit_periods.periods) == closed
    assert sampled(ledger) == expected(answers)[0]


def test_closing_beside_intake_leaves_every_decision_in_time_or_late(
    ledger: Ledger, url: str, clock: Clock, decide: MakeDecision
) -> None:
    ledger.write(intake.take_in, [decide(number) for number in range(1, 21)])
    clock.now = CLOSING
    ready, failures = threading.Barrier(2), []

    def arrive() -> None:
        with Ledger(url, clock=clock) as own:
            ready.wait()
            try:
                for number in range(21, 61):
                    own.write(intake.take_in, [decide(number, sidecar_id=B)])
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=arrive)
    thread.start()
    ready.wait()
    close(ledger, clock)
    thread.join()
    assert failures == []
    (standing,) = standings(ledger)
    assert standing.disagreements == ()
    assert standing.period is not None
    assert standing.n == standing.period.n
    assert standing.n + standing.n_late == 60


# What is one population.


def test_strata_and_weeks_have_samples_of_their_own(
    ledger: Ledger, clock: Clock, decide: MakeDecision
) -> None:
    changes: list[dict[str, object]] = [
        {},
        {"model_version": "v8"},
        {"band": "reject", "action": Action.REJECT, "may_act": False},
        {"intent": Intent.SHADOW},
        {"audit_budget": 7},
        {"audit_rate": 0.25},
        {"decided_at": SUNDAY + 1.0},  # Monday, 00:00
    ]
    answers = [
        decide(1000 * place + number, **change)
        for place, change in enumerate(changes)
        for number in range(1, 41)
    ]
    ledger.write(intake.take_in, [*answers, decide(9000, audit_budget=0)])
    first = close(ledger, clock)
    assert [period.n for period in first] == [40] * 6
    (second,) = close(ledger, clock, CLOSING + 604800.0)
    assert second.population.week == "2026-W07"
    assert {period.population.audit_budget for period in first} == {5, 7}
    budgets = sum(period.n_sampled for period in (*first, second))
    unbudgeted = decide(9000, audit_budget=0)
    assert len(sampled(ledger)) == budgets + unbudgeted.drawn
    assert all(each.disagreements == () for each in standings(ledger))


@pytest.mark.parametrize(
    ("decided_at", "week"),
    [(MONDAY, WEEK), (MONDAY - 0.001, "2026-W05"), (SUNDAY + 0.999, WEEK), (SUNDAY + 1.0, "2026-W07")],
)
def test_the_week_is_that_of_the_decision_to_the_instant(
    ledger: Ledger, clock: Clock, decide: MakeDecision, decided_at: float, week: str
) -> None:
    ledger.write(intake.take_in, [decide(1, decided_at=decided_at)])
    clock.now = CLOSING + 604800.0 * 2
    (period,) = audit_periods.close_due(ledger, grace_seconds=GRACE)
    assert period.population.week == week


def test_what_came_to_several_sidecars_is_one_sample_and_a_retry_counts_once(
    ledger: Ledger, clock: Clock, decide: MakeDecision
) -> None:
    answers = [decide(number) for number in range(1, 61)]
    ledger.write(intake.take_in, answers[:40])
    retries = [
        builders.altered(each, answer_id=f"retry-{each.answer_id}", decided_at=each.decided_at + 60.0)
        for each in answers[20:40]
    ]
    ledger.write(intake.take_in, [*retries, *answers[40:]])
    ledger.write(intake.take_in, answers[:40])  # and a journal that is replayed
    (period,) = close(ledger, clock)
    wanted, tau = expected(answers)
    assert (period.n, period.n_drawn) == (60, sum(each.drawn for each in answers))
    assert (sampled(ledger), period.tau) == (wanted, tau)


def test_a_key_may_be_replaced_within_a_week(ledger: Ledger, clock: Clock, decide: MakeDecision) -> None:
    answers = [decide(number, audit_key_id="k1" if number <= 20 else "k2") for number in range(1, 41)]
    ledger.write(intake.take_in, answers)
    (period,) = close(ledger, clock)
    assert period.key_ids == ("k1", "k2")
    assert sampled(ledger) == expected(answers)[0]
    (standing,) = standings(ledger)
    assert (standing.disagreements, standing.n_unchecked) == ((), 0)
    (standing,) = standings(ledger, {"k2": KEYS["k2"]})
    assert (standing.disagreements, standing.n_unchecked) == ((), 20)


# What comes late.


def test_what_comes_late_is_counted_and_never_sampled(
    ledger: Ledger, clock: Clock, decide: MakeDecision
) -> None:
    answers = [decide(number) for number in range(1, 41)]
    ledger.write(intake.take_in, answers)
    (period,) = close(ledger, clock)
    before = sampled(ledger)
    late = [decide(number) for number in range(41, 101)]
    assert any(each.audit_draw is not None and each.audit_draw < period.tau for each in late)
    # A retry of what came in time is not late: its decision was counted.
    retry = builders.altered(answers[0], answer_id="retry")
    ledger.write(intake.take_in, [*late, retry])
    assert close(ledger, clock, CLOSING + 604800.0) == []
    assert (sampled(ledger), ledger.read(audit_periods.periods)) == (before, [period])
    (standing,) = standings(ledger)
    assert (standing.n, standing.n_late, standing.disagreements) == (40, 60, ())
    assert standing.n_drawn == period.n_drawn


def test_a_week_of_which_nothing_came_in_time_is_closed_when_it_comes(
    ledger: Ledger, clock: Clock, decide: MakeDecision
) -> None:
    assert close(ledger, clock, CLOSING + 604800.0) == []
    ledger.write(intake.take_in, [decide(number) for number in range(1, 41)])
    (period,) = close(ledger, clock, CLOSING + 604801.0)
    assert (period.population.week, period.n, period.n_sampled) == (WEEK, 40, BUDGET)


def test_a_time_beyond_the_calendar_is_a_refused_record(ledger: Ledger, decide: MakeDecision) -> None:
    with pytest.raises(database.RecordRefused):
        ledger.write(intake.take_in, [decide(1, decided_at=1e18)])


# Labels.


def audit_label(number: int, **changes: object) -> Label:
    fields = {"task_id": task_id(f"decision-{number:06d}", TaskKind.AUDIT), "channel": "AUDIT_TASK"}
    return builders.label(number, **(fields | changes))


def test_a_label_has_the_inclusion_probability_that_follows_from_what_is_stored(
    ledger: Ledger, clock: Clock, decide: MakeDecision
) -> None:
    answers = [decide(number) for number in range(1, 41)]
    ledger.write(intake.take_in, [*answers, decide(500, audit_budget=0, decision_id="decision-000500")])
    wanted, tau = expected(answers)
    labels = [audit_label(number) for number in (*range(1, 41), 500)]
    ledger.write(intake.take_in, labels)
    # Before the closing there is no task, so that nothing is drawn; whatever a label claims.
    found = {each.decision.decision_id: each for each in ledger.read(labelled.labelled, "lead-classifier")}
    budgeted = {name: each for name, each in found.items() if name != "decision-000500"}
    assert {(each.drawn, each.propensity) for each in budgeted.values()} == {(False, None)}
    assert found["decision-000500"].propensity == (RATE if found["decision-000500"].drawn else None)
    close(ledger, clock)
    found = {each.decision.decision_id: each for each in ledger.read(labelled.labelled, "lead-classifier")}
    for name, each in found.items():
        if name != "decision-000500":
            assert (each.drawn, each.propensity) == ((True, tau) if name in wanted else (False, None))
    name = min(wanted)
    (label,) = ledger.read(labelled.resolved, name)
    assert label.propensity == tau
    assert sampled(ledger) & wanted == set(), "a label that was there already completes the task"


# Recomputing.


def test_recomputing_agrees_with_what_was_done(ledger: Ledger, clock: Clock, decide: MakeDecision) -> None:
    answers = [decide(number) for number in range(1, 41)]
    others = [decide(number, audit_budget=0, band="flagged") for number in range(101, 121)]
    ledger.write(intake.take_in, [*answers, *others])
    waiting, unbudgeted = standings(ledger)
    assert (waiting.period, waiting.n, waiting.n_tasks, waiting.disagreements) == (None, 40, 0, ())
    drawn = sum(each.drawn for each in others)
    assert (unbudgeted.n, unbudgeted.n_drawn, unbudgeted.n_tasks) == (20, drawn, drawn)
    close(ledger, clock)
    done = int(min(sampled(ledger)).removeprefix("decision-"))
    ledger.write(intake.take_in, [audit_label(done)])
    closed, unbudgeted = standings(ledger)
    assert (closed.n_tasks, closed.n_completed, closed.disagreements) == (BUDGET, 1, ())
    assert unbudgeted.disagreements == ()
    assert standings(ledger, None)[0].n_unchecked == 0, "nobody asked"


TAMPERING = {
    "a draw that was made up": (
        "UPDATE audit_members SET draw = draw / 2 WHERE decision_id = :in_sample",
        "the recorded draw is",
    ),
    "a decision that was not to be drawn": (
        "UPDATE audit_members SET draw = NULL WHERE decision_id = :in_sample",
        "recorded as not drawn",
    ),
    "a decision that is gone": (
        "DELETE FROM audit_members WHERE decision_id = :in_sample",
        "when the period was closed, and is",
    ),
    "another tau": ("UPDATE audit_periods SET tau = tau / 2", "tau was"),
    "another N": ("UPDATE audit_periods SET n = n + 1", "N was 40 when|N was 41 when"),
    "a task that is gone": (
        (
            "DELETE FROM review_slots WHERE task_id = :task",
            "DELETE FROM review_tasks WHERE task_id = :task",
        ),
        "is in the sample, and has no audit task",
    ),
    "a task on what was not sampled": (
        "UPDATE review_tasks SET decision_id = :out, answer_id = :out_answer WHERE task_id = :task",
        "has an audit task, and is not in the sample",
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_recomputing_finds_what_was_tampered_with(
    ledger: Ledger, clock: Clock, decide: MakeDecision, what: str
) -> None:
    answers = [decide(number) for number in range(1, 41)]
    ledger.write(intake.take_in, answers)
    close(ledger, clock)
    assert all(each.disagreements == () for each in standings(ledger))
    wanted, _ = expected(answers)
    out = next(each for each in answers if each.decision_id not in wanted)
    names = {
        "in_sample": schema.packed(min(wanted)),
        "task": task_id(min(wanted), TaskKind.AUDIT),
        "out": schema.packed(out.decision_id),
        "out_answer": schema.packed(out.answer_id),
    }
    statements, says = TAMPERING[what]
    with ledger._engine.begin() as connection:
        for statement in (statements,) if isinstance(statements, str) else statements:
            given = {name: value for name, value in names.items() if re.search(rf":{name}\b", statement)}
            connection.execute(sa.text(statement), given)
    said = [sentence for each in standings(ledger) for sentence in each.disagreements]
    assert any(part in each for each in said for part in says.split("|")), said


def test_recomputing_finds_an_unbudgeted_draw_that_is_not_the_key_s(
    ledger: Ledger, decide: MakeDecision
) -> None:
    answers = [decide(number, audit_budget=0) for number in range(1, 21)]
    drawn = next(each for each in answers if each.drawn)
    undrawn = next(each for each in answers if not each.drawn)
    wrong = [
        builders.altered(drawn, drawn=False, tasks=()),
        builders.altered(undrawn, drawn=True),
    ]
    ledger.write(intake.take_in, wrong)
    (standing,) = standings(ledger)
    assert sorted(
        each.split(" is recorded as ")[-1].split(";")[0]
        for each in standing.disagreements[:3]
        if "recorded" in each
    ) == [
        "drawn",
        "not drawn",
    ]
    assert any("was drawn, and has no audit task" in each for each in standing.disagreements)


def test_one_week_and_one_model_can_be_asked_for(ledger: Ledger, clock: Clock, decide: MakeDecision) -> None:
    ledger.write(
        intake.take_in,
        [
            *(decide(number) for number in range(1, 11)),
            *(decide(number, audit_budget=0) for number in range(11, 21)),
            *(decide(number, model="other") for number in range(21, 31)),
            *(decide(number, decided_at=SUNDAY + 1) for number in range(31, 41)),
        ],
    )
    close(ledger, clock, CLOSING + 604800.0)
    assert [
        each.population.model for each in ledger.read(audit_periods.periods, week=WEEK, model="other")
    ] == ["other"]
    assert len(ledger.read(audit_periods.periods, since=audit.week_end(WEEK))) == 1
    with ledger.reading() as at:
        only = {"model": "lead-classifier", "week": WEEK}
        assert len(audit_periods.periods(at, **only)) == 1
        assert len(list(audit_members.members(at, **only))) == 20
        assert len(audit_periods.periods(at)) == 3
        assert len(list(audit_members.members(at))) == 40
        with pytest.raises(ValueError, match="is no week"):
            list(audit_members.members(at, week="yesterday"))

"""The contract of the ledger, for every database."""

import itertools
import random
from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibrators.evidence import Evidence
from sidecar import errors
from sidecar.decision.labels import LabelState
from sidecar.decision.records import (
    Artifact,
    Decision,
    Governance,
    InForce,
    PlannedTask,
    Record,
    ShadowCounts,
    ShadowPair,
)
from sidecar.decision.steps import CalibratorReference, FallbackStep
from sidecar.decision.suspensions import Resumption, Scope, Suspension
from sidecar.decision.tasks import TaskState, task_id
from sidecar.ledger import artifacts, database, facts, intake, labelled, queries, queue, schema
from sidecar.ledger.intake import Mark
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Action, AnswerSource, Intent, Reason, TaskKind
from sidecar.policy.floors import FloorHit
from tests import builders
from tests.sidecar import stores

A = "sidecar-a"

NOT_OF_THE_STREAM = (
    *("set_aside", "review_events", "outcomes", "suspensions"),
    *("audit_periods", "watch_states"),
)


def held(number: int, **changes: object) -> Decision:
    kind = changes.pop("kind", TaskKind.HOLD)
    due_at = changes.pop("due_at", 5.0)
    fields: dict[str, object] = {
        "action": Action.HOLD_FOR_REVIEW,
        "may_act": False,
        "tasks": (PlannedTask(kind=kind, due_at=due_at),),  # type: ignore[arg-type]
    }
    return builders.decision(number, **(fields | changes))


def contents(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, without the row numbers that only order."""
    found = {}
    with ledger._engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            columns = [column for column in table.c if column.name != "row_id"]
            found[table.name] = sorted(
                (tuple(row) for row in connection.execute(sa.select(*columns))), key=repr
            )
    return found


def test_every_field_of_a_decision_survives_bit_for_bit(ledger: Ledger) -> None:
    full = builders.decision(
        1,
        tenant="é",
        request_id='quotes "and" \\ \n and \0',
        subject_ref="customer 7",
        group_key="g",
        evidence=Evidence(kind="probabilities", values=(0.1 + 0.2, 5e-324, 1 - 2**-53), answer_index=1),
        attributes={"amount": 1e308, "vip": True, "name": "x"},
        context={"mail": "…"},
        calibrator=CalibratorReference(name="c", version="3", kind="beta", digest="d"),
        floors=(FloorHit(floor="f", reason=Reason.DETECTOR, permitted=(Action.ESCALATE,)),),
        steps=(FallbackStep(step="rules", outcome="FAILED", code="X", duration_seconds=0.1),),
        tasks=(PlannedTask(kind=TaskKind.HOLD, due_at=1.5),),
        intent=Intent.SHADOW,
        source=AnswerSource.RULES,
        stale_seconds=0.1,
    )
    ledger.write(intake.take_in, [full])
    stored = ledger.read(queries.decision, full.decision_id)
    assert stored is not None
    assert stored.answers == (full,)
    assert ledger.read(queries.decision, "unknown") is None


def test_all_answers_are_kept_and_any_of_them_counts(ledger: Ledger) -> None:
    acted = builders.decision(1, answer_id="b", decided_at=20.0)
    waits = held(1, answer_id="a", decided_at=10.0)
    ledger.write(intake.take_in, [acted])
    stored = ledger.read(queries.decision, acted.decision_id)
    assert stored is not None
    assert (stored.acted, stored.held) == (True, False)
    ledger.write(intake.take_in, [waits])
    stored = ledger.read(queries.decision, acted.decision_id)
    assert stored is not None
    assert stored.answers == (waits, acted)
    assert (stored.acted, stored.held) == (True, True)
    assert ledger.read(queue.tasks, decision_id=acted.decision_id).total == 1


def test_a_task_is_opened_once_however_many_answers_ask_for_it(ledger: Ledger) -> None:
    both = (PlannedTask(kind=TaskKind.HOLD, due_at=7.0), PlannedTask(kind=TaskKind.AUDIT, due_at=9.0))
    first = held(1, answer_id="first", tasks=both)
    ledger.write(intake.take_in, [first])
    ledger.write(intake.take_in, [held(1, answer_id="second", due_at=1.0)])
    page = ledger.read(queue.tasks)
    assert [(task.kind, task.due_at, task.answer_id) for task in page.items] == [
        (TaskKind.HOLD, 7.0, "first"),
        (TaskKind.AUDIT, 9.0, "first"),
    ]
    assert page.items[0].decision == first
    assert page.items[0].task_id == task_id(first.decision_id, TaskKind.HOLD)
    assert ledger.read(queue.task, page.items[1].task_id) == page.items[1]
    assert ledger.read(queue.task, "unknown") is None


def test_a_decision_without_planned_tasks_opens_none(ledger: Ledger) -> None:
    shadow = held(1, intent=Intent.SHADOW, tasks=())
    observed = held(2, enforced=False, tasks=())
    ledger.write(intake.take_in, [shadow, observed])
    assert ledger.read(queue.tasks).total == 0
    stored = ledger.read(queries.decision, shadow.decision_id)
    assert stored is not None
    assert not stored.held


def planned(kind: TaskKind) -> Decision:
    """A decision that acts, with a task that asks for a label and blocks nothing."""
    return builders.decision(1, tasks=(PlannedTask(kind=kind, due_at=9.0),))


@pytest.mark.parametrize("kind", [TaskKind.AUDIT, TaskKind.BATCH])
@pytest.mark.parametrize("label_first", [True, False])
def test_a_label_completes_the_audit_that_it_names(ledger: Ledger, label_first: bool, kind: TaskKind) -> None:
    decision = planned(kind)
    wanted = task_id(decision.decision_id, kind)
    label = builders.label(1, task_id=wanted, channel="AUDIT_TASK", recorded_at=77.0)
    for records in ([label], [decision]) if label_first else ([decision], [label]):
        ledger.write(intake.take_in, records)
    task = ledger.read(queue.task, wanted)
    assert task is not None
    assert (task.state, task.completed_at) == (TaskState.COMPLETED, 77.0)
    assert ledger.read(queue.tasks).total == 0
    assert ledger.read(queue.tasks, states=[TaskState.COMPLETED]).items == (task,)
    later = builders.label(1, event_id="second", task_id=wanted, recorded_at=99.0)
    ledger.write(intake.take_in, [later])
    assert ledger.read(queue.task, wanted) == task, "it ended with the first label"


@pytest.mark.parametrize("kind", [TaskKind.HOLD, TaskKind.ESCALATION, TaskKind.ADJUDICATION])
@pytest.mark.parametrize("label_first", [True, False])
def test_no_label_ends_a_task_for_which_somebody_waits(
    ledger: Ledger, label_first: bool, kind: TaskKind
) -> None:
    decision = planned(kind)
    wanted = task_id(decision.decision_id, kind)
    label = builders.label(1, task_id=wanted, channel="REVIEW_TASK", recorded_at=77.0)
    for records in ([label], [decision]) if label_first else ([decision], [label]):
        ledger.write(intake.take_in, records)
    assert [task.task_id for task in ledger.read(queue.tasks).items] == [wanted]
    assert [each.state for each in ledger.read(labelled.resolved, "decision-000001")] == [LabelState.COUNTED]


def test_a_label_cannot_complete_the_task_of_another_decision(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [held(1), held(2)])
    other = task_id("decision-000002", TaskKind.HOLD)
    ledger.write(intake.take_in, [builders.label(1, task_id=other, channel="REVIEW_TASK")])
    assert ledger.read(queue.tasks).total == 2
    (resolved,) = ledger.read(labelled.resolved, "decision-000001")
    assert (resolved.drawn, resolved.propensity) == (False, None)


def test_tasks_come_mandatory_first_then_by_due_time_and_pages_stay_put(ledger: Ledger) -> None:
    rng = random.Random(3)
    decisions = [
        held(number, mandatory=rng.random() < 0.5, due_at=float(rng.randrange(4))) for number in range(1, 24)
    ]
    ledger.write(intake.take_in, decisions)
    expected = [
        task_id(decision.decision_id, TaskKind.HOLD)
        for decision in sorted(
            decisions,
            key=lambda one: (
                not one.verdict.mandatory,
                one.tasks[0].due_at,
                task_id(one.decision_id, TaskKind.HOLD),
            ),
        )
    ]
    seen, token = [], ""
    while True:
        page = ledger.read(queue.tasks, page_size=4, page_token=token)
        assert page.total == 23 + (1 if token else 0)
        seen += [task.task_id for task in page.items]
        token = page.next_page_token
        if not token:
            break
        ledger.write(intake.take_in, [held(99, mandatory=True, due_at=-1.0)])  # before the place reached
    assert seen == expected


def test_tasks_are_found_by_kind_state_model_category_and_decision(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in,
        [
            held(1, kind=TaskKind.HOLD, model="x", category="refunds"),
            held(2, kind=TaskKind.AUDIT, model="x", category="general"),
            held(3, kind=TaskKind.ESCALATION, model="y", category="refunds"),
        ],
    )

    def found(**filters: object) -> set[str]:
        page = ledger.read(queue.tasks, **filters)  # type: ignore[arg-type]
        assert page.total == len(page.items)
        return {task.decision_id[-1] for task in page.items}

    assert found() == {"1", "2", "3"}
    assert found(kinds=[TaskKind.HOLD, TaskKind.AUDIT]) == {"1", "2"}
    assert found(model="x") == {"1", "2"}
    assert found(category="refunds") == {"1", "3"}
    assert found(model="y", category="general") == set()
    assert found(decision_id="decision-000002") == {"2"}
    assert found(states=[TaskState.COMPLETED]) == set()


def test_decisions_are_listed_newest_first_in_stable_pages(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in, [builders.decision(number, decided_at=float(number // 3)) for number in range(1, 20)]
    )
    expected = [f"decision-{number:06d}" for number in range(19, 0, -1)]
    seen, token, extra = [], "", 100
    while True:
        page = ledger.read(queries.decisions, page_size=5, page_token=token)
        seen += [stored.decision_id for stored in page.items]
        token = page.next_page_token
        if not token:
            break
        ledger.write(intake.take_in, [builders.decision(extra, decided_at=1000.0 + extra)])
        extra += 1
    assert seen == expected


def test_decisions_are_found_by_tenant_subject_model_and_time(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in,
        [
            builders.decision(1, tenant="", subject_ref="s1", model="x", decided_at=10.0),
            builders.decision(2, tenant="t", subject_ref="s1", model="x", decided_at=20.0),
            builders.decision(3, tenant="t", subject_ref="s2", model="y", decided_at=30.0),
        ],
    )

    def found(**filters: object) -> list[str]:
        return [stored.decision_id[-1] for stored in ledger.read(queries.decisions, **filters).items]  # type: ignore[arg-type]

    assert found() == ["3", "2", "1"]
    assert found(tenant="") == ["1"]
    assert found(tenant="t", subject_ref="s1") == ["2"]
    assert found(model="x") == ["2", "1"]
    assert found(decided_from=20.0) == ["3", "2"]
    assert found(decided_from=10.0, decided_to=20.0) == ["1"]
    assert found(decided_from=31.0) == []


@pytest.mark.parametrize("size", [-1, 1001])
def test_a_page_size_out_of_range_is_refused(ledger: Ledger, size: int) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        ledger.read(queries.decisions, page_size=size)
    assert caught.value.violations[0].field == "page_size"


def test_a_damaged_or_borrowed_token_is_refused(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [held(number) for number in range(1, 4)])
    token = ledger.read(queries.decisions, page_size=1).next_page_token
    assert (
        ledger.read(queries.decisions, page_size=2, page_token=token).items[0].decision_id
        == "decision-000002"
    )
    for wrong in (
        token[:-3],
        "x",
        "AAAA",
        token.swapcase(),
        ledger.read(queue.tasks, page_size=1).next_page_token,
        "é",
    ):
        with pytest.raises(errors.InvalidRequest, match="page_token"):
            ledger.read(queries.decisions, page_size=1, page_token=wrong)
    with pytest.raises(errors.InvalidRequest, match="other filters"):
        ledger.read(queries.decisions, page_size=1, page_token=token, model="x")


def test_the_first_label_under_an_event_id_counts_and_others_are_evidence(ledger: Ledger) -> None:
    first = builders.label(1, correct=True)
    again = msgspec.structs.replace(first, recorded_at=999.0, sidecar_id="sidecar-b")
    other = builders.label(1, correct=False, recorded_at=5.0)
    ledger.write(intake.take_in, [builders.decision(1), first])
    ledger.write(intake.take_in, [again])
    assert contents(ledger)["label_event_reuses"] == []
    ledger.write(intake.take_in, [other, other])
    ledger.write(intake.take_in, [other])
    assert [resolved.label for resolved in ledger.read(labelled.resolved, "decision-000001")] == [first]
    (reuse,) = contents(ledger)["label_event_reuses"]
    assert reuse[:2] == ("crm", "event-000001")
    assert '"correct":false' in str(reuse[-1])


def test_a_label_sent_again_without_its_own_time_is_the_same_label(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [builders.label(1, observed_at=50.0, recorded_at=50.0)])
    ledger.write(intake.take_in, [builders.label(1, observed_at=60.0, recorded_at=60.0)])
    assert contents(ledger)["label_event_reuses"] == []
    ledger.write(intake.take_in, [builders.label(1, observed_at=50.0, recorded_at=60.0)])
    assert len(contents(ledger)["label_event_reuses"]) == 1


def test_artifacts_are_kept_once(ledger: Ledger) -> None:
    text = Artifact(digest="d", kind="policy", body='{"π": "🦆"}')
    ledger.write(intake.take_in, [text, text])
    ledger.write(intake.take_in, [Artifact(digest="d", kind="policy", body="other")])
    with ledger.reading() as at:
        assert artifacts.text_of(at, "d") == text.body
        assert artifacts.text_of(at, "unknown") is None


def test_intervals_end_with_the_next_record_a_stop_or_a_new_start(ledger: Ledger) -> None:
    def put(since: float, slot: str, digest: str, sidecar: str = A) -> None:
        ledger.write(intake.take_in, [InForce(sidecar_id=sidecar, slot=slot, digest=digest, since=since)])

    def at(moment: float, slot: str = "calibrator:m") -> str | None:
        found = stores.in_force(ledger, A, slot, moment)
        return None if found is None else found.digest

    put(10.0, "sidecar", "start")
    put(10.0, "calibrator:m", "one")
    put(10.0, "policy", "p1")
    put(20.0, "calibrator:m", "two")
    put(25.0, "calibrator:m", "", sidecar="sidecar-b")
    put(30.0, "calibrator:m", "")
    put(40.0, "calibrator:m", "three")
    # Killed: says nothing. Started again without that calibrator.
    put(60.0, "sidecar", "start")
    put(60.0, "policy", "p1")
    put(70.0, "sidecar", "")
    assert [at(moment) for moment in (9.9, 10.0, 19.9, 20.0, 29.9, 30.0, 40.0, 59.9, 60.0, 99.0)] == [
        None, "one", "one", "two", "two", None, "three", "three", None, None,
    ]  # fmt: skip
    assert [at(moment, "policy") for moment in (10.0, 59.9, 60.0, 69.9, 70.0)] == [
        "p1",
        "p1",
        "p1",
        "p1",
        None,
    ]


def test_of_two_changes_in_one_tick_the_last_counts(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in,
        [InForce(sidecar_id=A, slot="policy", digest=digest, since=5.0) for digest in ("b", "a")],
    )
    found = stores.in_force(ledger, A, "policy", 5.0)
    assert found is not None
    assert found.digest == "a"


def test_strata_count_every_answer_by_day_and_kind(ledger: Ledger) -> None:
    day = 86400.0
    ledger.write(
        intake.take_in,
        [
            builders.decision(1, decided_at=day * 2),
            builders.decision(2, decided_at=day * 3 - 0.001, drawn=True),
            builders.decision(3, decided_at=day * 3, audit_rate=0.5, drawn=True),
            builders.decision(4, decided_at=day * 3, intent=Intent.SHADOW, may_act=False),
        ],
    )
    ledger.write(intake.take_in, [builders.decision(5, decided_at=day * 2 + 1, sidecar_id="sidecar-b")])
    counted = [
        (
            stratum.day.isoformat(),
            stratum.intent.value,
            stratum.audit_rate,
            stratum.n,
            stratum.n_drawn,
            stratum.n_acted,
        )
        for stratum in ledger.read(facts.strata, "lead-classifier", None, None)
    ]
    assert sorted(counted) == [
        ("1970-01-03", "LIVE", 0.05, 3, 1, 3),
        ("1970-01-04", "LIVE", 0.5, 1, 1, 1),
        ("1970-01-04", "SHADOW", 0.05, 1, 0, 0),
    ]
    assert {
        stratum.day.isoformat() for stratum in ledger.read(facts.strata, "lead-classifier", day * 3, None)
    } == {"1970-01-04"}
    assert ledger.read(facts.strata, "other", None, None) == []


def test_labelled_decisions_carry_the_probability_with_which_they_were_drawn(ledger: Ledger) -> None:
    def task(number: int, kind: TaskKind) -> str:
        return task_id(f"decision-{number:06d}", kind)

    kinds = {1: TaskKind.HOLD, 2: TaskKind.ESCALATION, 3: TaskKind.AUDIT, 4: TaskKind.BATCH}
    ledger.write(
        intake.take_in, [held(number, kind=kind, audit_rate=0.125) for number, kind in kinds.items()]
    )
    ledger.write(intake.take_in, [builders.decision(number) for number in range(5, 11)])
    ledger.write(intake.take_in, [builders.decision(11, model="other")])
    labels = [builders.label(number, task_id=task(number, kind)) for number, kind in kinds.items()]
    labels += [
        builders.label(5, channel="OUTCOME", correct=False),
        builders.label(6, channel="IMPORTED", true_class="interested"),
        builders.label(7, channel="VOLUNTEERED", true_class="spam"),
        builders.label(8, cannot_tell=True),
        builders.label(9, criterion="tone", correct=False),
        builders.label(11),
        builders.label(12),  # an orphan
    ]
    ledger.write(intake.take_in, labels)
    found = ledger.read(labelled.labelled, "lead-classifier")
    assert [
        (each.decision.decision_id[-1], each.correct, each.drawn, each.propensity, each.about)
        for each in found
    ] == [
        ("1", True, True, 1.0, "PRIMARY"),
        ("2", True, True, 1.0, "PRIMARY"),
        ("3", True, True, 0.125, "PRIMARY"),
        ("4", True, True, 1.0, "PRIMARY"),  # all that its day flagged
        ("5", False, False, None, "PRIMARY"),
        ("6", True, False, None, "PRIMARY"),
        ("7", False, False, None, "PRIMARY"),
    ]
    (toned,) = ledger.read(labelled.labelled, "lead-classifier", criterion="tone")
    assert (toned.decision.decision_id, toned.correct) == ("decision-000009", False)
    start = found[0].decision.decided_at
    assert len(ledger.read(labelled.labelled, "lead-classifier", since=start + 2)) == 5
    assert len(ledger.read(labelled.labelled, "lead-classifier", until=start + 2)) == 2
    assert ledger.read(labelled.labelled, "lead-classifier", label_window_seconds=1.0) == []


def stream_of() -> list[Record]:
    """Some of everything, interleaved, with retries, orphans and reuses among them."""
    rng = random.Random(11)
    records: list[Record] = []
    for number in range(1, 41):
        kind = rng.choice(list(TaskKind))
        draw = rng.random()
        budgeted = builders.decision(
            number, audit_rate=0.5, audit_budget=3, drawn=draw < 0.5, audit_draw=draw if draw < 0.5 else None
        )
        decision = rng.choice([builders.decision(number), held(number, kind=kind), budgeted])
        records.append(decision)
        if rng.random() < 0.3:
            records.append(builders.altered(decision, answer_id=f"retry-{number}", sidecar_id="sidecar-b"))
        if rng.random() < 0.6:
            about = rng.randrange(1, 45)
            records.append(
                builders.label(
                    about,
                    event_id=f"e{rng.randrange(25)}",
                    correct=rng.random() < 0.5,
                    task_id=task_id(f"decision-{about:06d}", kind),
                )
            )
        if rng.random() < 0.1:
            records.append(Artifact(digest=str(number % 3), kind="policy", body=str(number % 3)))
            records.append(InForce(sidecar_id=A, slot="policy", digest=str(number % 3), since=float(number)))
        if number % 10 == 0:
            brake = {"suspension_id": f"{number % 3:032x}", "explanation": "why", "sidecar_id": A}
            records.append(Suspension(**brake, scope=Scope(), suspended_by="ada", suspended_at=1.0))
            records.append(Resumption(**brake, resumed_by="bob", resumed_at=float(number)))
            records.append(
                Governance(
                    event_id=str(number % 3),
                    kind="PROMOTED",
                    subject="leads@champion",
                    happened_at=1.0,
                    seen_at=2.0,
                    sidecar_id=A,
                )
            )
            records.append(
                ShadowCounts(
                    run_id="r",
                    sidecar_id=A,
                    day=number // 20,
                    model="lead-classifier",
                    champion="c",
                    challenger="d",
                    pairs=(ShadowPair(band="auto", shadow_band="hold", n=number),),
                )
            )
    return records


def in_pieces(ledger: Ledger, records: list[Record], cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (len(records) + 1) for cut in cuts), len(records)]
    for start, end in itertools.pairwise(edges):
        mark = Mark(segment=1, offset=end, sequence=end)
        ledger.write(intake.take_in_journal, A, "j", records[start:end], mark)


@pytest.fixture(scope="module")
def in_memory() -> Iterator[Ledger]:
    with Ledger("sqlite://") as made:
        made.migrate()
        yield made


def clear(ledger: Ledger) -> None:
    with ledger._engine.begin() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(sa.delete(table))


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 200), max_size=6),
    again=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), max_size=5),
)
def test_replaying_whole_or_overlapping_pieces_changes_nothing(
    in_memory: Ledger,
    cuts: list[int],
    again: list[tuple[int, int]],
) -> None:
    stream = stream_of()
    clear(in_memory)
    in_pieces(in_memory, stream, [])
    whole = contents(in_memory)
    assert all(rows for name, rows in whole.items() if name not in NOT_OF_THE_STREAM)
    clear(in_memory)
    in_pieces(in_memory, stream, cuts)
    for start, length in again:
        in_memory.write(intake.take_in, stream[start : start + length])
    in_memory.write(intake.take_in, stream)
    assert contents(in_memory) == whole


def test_applying_twice_changes_nothing(ledger: Ledger) -> None:
    stream = stream_of()
    in_pieces(ledger, stream, [20, 40])
    before = contents(ledger)
    ledger.write(intake.take_in, list(reversed(stream[:30])))
    in_pieces(ledger, stream, [10])
    assert contents(ledger) == before


def test_more_records_than_a_query_has_parameters(ledger: Ledger) -> None:
    decisions = [builders.decision(number) for number in range(1, 2502)]
    ledger.write(intake.take_in, decisions)
    ledger.write(intake.take_in, decisions)
    assert sum(stratum.n for stratum in ledger.read(facts.strata, "lead-classifier", None, None)) == 2501


def test_the_place_in_the_journal_is_kept_with_what_was_read_from_it(ledger: Ledger) -> None:
    assert ledger.read(intake.journal_mark, A, "j") is None
    mark = Mark(segment=3, offset=1 << 40, sequence=1 << 41)
    ledger.write(intake.take_in_journal, A, "j", [builders.decision(1)], mark)
    assert ledger.read(intake.journal_mark, A, "j") == mark
    assert ledger.read(intake.journal_mark, A, "other journal") is None
    poison = builders.decision(2, decided_at=1e18)
    with pytest.raises(database.RecordRefused):
        ledger.write(
            intake.take_in_journal,
            A,
            "j",
            [builders.decision(3), poison],
            Mark(segment=4, offset=0, sequence=9),
        )
    assert ledger.read(intake.journal_mark, A, "j") == mark
    assert ledger.read(queries.decision, "decision-000003") is None, "all or none"

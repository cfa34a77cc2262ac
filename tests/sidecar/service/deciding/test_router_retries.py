"""A retry gets its recorded answer, and another body under its name is an error."""

import dataclasses
import threading

import pytest

from sidecar import errors
from sidecar.policy.actions import Action
from sidecar.service.api import responses
from sidecar.service.deciding.idempotency import IdempotencyWindow
from tests import builders
from tests.sidecar import services


@pytest.fixture
def made():
    return services.bare()


def codes(outcomes):
    return [each.code if isinstance(each, errors.TruebandError) else "decision" for each in outcomes]


def test_a_retry_gets_the_recorded_answer(made):
    asked = builders.query(request_id="r-1")
    first = made.router.route(asked)
    made.snapshot = dataclasses.replace(made.snapshot, calibrators={})
    again = made.router.route(asked)
    assert again.replayed
    assert not first.replayed
    assert again.decision is first.decision
    assert len(made.journal.records) == 1
    assert made.count("trueband_replayed_answers_total") == 1


def test_another_body_under_the_request_id_is_an_error(made):
    made.router.route(builders.query(request_id="r-1"))
    with pytest.raises(errors.RequestIdReused):
        made.router.route(builders.query(0.1, request_id="r-1"))
    assert len(made.journal.records) == 1


def test_a_retry_of_what_has_expired_is_answered_anew():
    made = services.bare(
        services.POLICY.replace("evidence: score", "evidence: score\n    expires_after: 10m")
    )
    asked = builders.query(request_id="r-1")
    first = made.router.route(asked).decision
    made.now = first.expires_at - 0.1
    assert made.router.route(asked).replayed
    made.now = first.expires_at
    second = made.router.route(asked)
    assert not second.replayed
    assert second.decision.decision_id == first.decision_id
    assert second.decision.expires_at > made.now


@pytest.mark.parametrize(
    "change",
    [
        ("general: {}", "general: {mandatory_review: true}"),
        ("version: 1", "version: 1\ndetectors: [{name: d, category: general, pattern: hello}]"),
    ],
)
def test_a_retry_under_a_tighter_policy_is_answered_anew(made, change):
    asked = builders.query(request_id="r-1", context={"text": "hello"})
    assert made.router.route(asked).decision.may_act
    tighter = services.bare(services.POLICY.replace(*change))
    made.snapshot = dataclasses.replace(made.snapshot, policy=tighter.snapshot.policy)
    again = made.router.route(asked)
    assert not again.replayed
    assert not again.decision.may_act
    made.snapshot = services.bare().snapshot
    held = made.router.route(asked)
    assert held.replayed, "a hold is repeated as it was"
    assert held.decision.answer_id == again.decision.answer_id


def test_other_tenants_and_models_have_request_ids_of_their_own(made):
    first = made.router.route(builders.query(request_id="r-1", tenant="a")).decision
    second = made.router.route(builders.query(0.1, request_id="r-1", tenant="b")).decision
    assert first.decision_id != second.decision_id


def test_after_the_window_a_retry_is_another_answer_of_the_same_decision(made, now):
    asked = builders.query(request_id="r-1")
    first = made.router.route(asked).decision
    made.now = now + 3600.1
    second = made.router.route(asked)
    assert not second.replayed
    assert second.decision.decision_id == first.decision_id
    assert second.decision.answer_id != first.answer_id
    assert second.decision.drawn == first.drawn
    assert made.router.route(asked).replayed


def test_the_window_is_bounded_by_entries():
    policy = """
version: 1
idempotency: {entries: 2}
models: {lead-classifier: {calibrator: models:/c@champion, evidence: score}}
"""
    made = services.bare(policy)
    for number in range(3):
        made.router.route(builders.query(request_id=f"r-{number}"))
    replayed = [made.router.route(builders.query(request_id=f"r-{number}")).replayed for number in (2, 1, 0)]
    assert replayed == [True, True, False]


def test_the_window_is_bounded_by_bytes_and_keeps_no_texts():
    made = services.bare()
    router = made.router
    router._answered = IdempotencyWindow(most_bytes=5 * 3000)
    asked = [
        builders.query(request_id=f"r-{number}", context={"text": "x" * 60_000}, attributes={"a": 1.0})
        for number in range(20)
    ]
    answers = [router.route(each) for each in asked]
    assert all(each.decision.query.context for each in answers)
    last = router.route(asked[-1])
    assert last.replayed
    assert last.decision.query.context == {}
    assert responses.decision(last.decision) == responses.decision(answers[-1].decision)
    assert not router.route(asked[0]).replayed


def test_without_a_request_id_nothing_is_replayed(made):
    first, second = made.router.route(builders.query()), made.router.route(builders.query())
    assert first.decision.decision_id != second.decision.decision_id
    assert not second.replayed


def test_a_batch_answers_twins_once_and_names_impostors(made):
    asked, impostor = builders.query(request_id="r-1"), builders.query(0.1, request_id="r-1")
    unknown = builders.query(request_id="r-2", model="leads")
    invalid = errors.InvalidRequest((errors.Violation("model", "is required"),))
    outcomes = made.router.route_batch([asked, impostor, asked, unknown, unknown, invalid, builders.query()])
    assert codes(outcomes) == [
        "decision", "REQUEST_ID_REUSED", "decision", "MODEL_UNKNOWN", "MODEL_UNKNOWN", "INVALID_REQUEST",
        "decision",
    ]  # fmt: skip
    assert outcomes[2].replayed
    assert outcomes[2].decision is outcomes[0].decision
    assert not outcomes[0].replayed
    assert len(made.journal.records) == 2
    assert len(made.journal.batches) == 1


def test_a_twin_does_not_act_where_its_first_could_not_be_recorded(made):
    made.journal.break_down()
    asked = builders.query(request_id="r-1")
    first, twin = made.router.route_batch([asked, asked])
    for answer in (first, twin):
        assert not answer.decision.may_act
        assert answer.decision.action is Action.UNCERTAIN
    assert twin.replayed


def test_threads_that_retry_at_once_speak_of_one_decision(made):
    asked, found = builders.query(request_id="r-1"), []
    ready = threading.Barrier(6)

    def retry():
        ready.wait()
        found.append(made.router.route(asked).decision)

    threads = [threading.Thread(target=retry) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len({(each.answer_id, each.action, each.drawn) for each in found}) == 1
    assert len(made.journal.records) == 1, "one decision, one answer"


def test_batches_that_share_request_ids_wait_for_each_other_and_never_for_ever(made):
    one, two = builders.query(request_id="r-1"), builders.query(request_id="r-2")
    ready, found = threading.Barrier(8), []

    def ask(queries):
        ready.wait()
        found.extend(made.router.route_batch(queries))

    threads = [threading.Thread(target=ask, args=(pair,)) for pair in [(one, two), (two, one)] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len({each.decision.answer_id for each in found}) == 2
    assert len(made.journal.records) == 2


def test_who_cannot_wait_for_the_other_call_is_told_to_ask_again(made):
    one, other = builders.query(request_id="r-1"), builders.query(request_id="r-2")
    with made.router._claims.hold({(one.principal, "", "lead-classifier", "r-1")}, 0.0):
        with pytest.raises(errors.StillAnswering):
            made.router.route(one, remaining_seconds=0.0)
        assert made.router.route(other).decision.may_act
    assert made.router.route(one).decision.may_act

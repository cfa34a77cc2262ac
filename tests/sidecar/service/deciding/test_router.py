"""The use cases: one decision for one request, recorded before it is told; labels taken once."""

import dataclasses

import pytest

from sidecar import errors
from sidecar.decision import draws
from sidecar.policy.actions import Action, Reason, TaskKind
from sidecar.service.deciding.decider import QueueHealth
from tests import builders
from tests.sidecar import services


@pytest.fixture
def made():
    return services.bare()


def codes(outcomes):
    return [each.code if isinstance(each, errors.TruebandError) else "decision" for each in outcomes]


def test_a_decision_carries_every_version_that_led_to_it(made, now):
    asked = builders.query(
        0.95,
        tenant="acme",
        request_id="r-1",
        subject_ref="s-1",
        group_key="g-1",
        model_version="v7",
        category="General ",
        category_from_model=True,
        answer_digest="sha256:0",
        occurred_at=now - 5,
        attributes={"amount": 1.5},
        context={"text": "hello"},
    )
    decision = made.router.route(asked).decision
    assert made.journal.decisions == [decision]
    assert decision.query.category == "general"
    assert decision.query.category_from_model
    assert (decision.query.tenant, decision.query.subject_ref, decision.query.group_key) == (
        "acme",
        "s-1",
        "g-1",
    )
    assert (decision.query.model, decision.query.model_version) == ("lead-classifier", "v7")
    assert (decision.decided_at, decision.expires_at) == (now, now + 86400)
    assert decision.occurred_at == now - 5
    assert decision.provenance.calibrator.version == "3"
    assert decision.stale_seconds == 0.0
    assert decision.provenance.policy_digest == made.snapshot.policy.loaded.digest
    assert decision.provenance.audit_key_id == "k2"
    assert decision.provenance.sidecar_id == "sidecar-a"
    assert decision.provenance.engine_version
    assert (decision.query.attributes, decision.query.context) == ({"amount": 1.5}, {"text": "hello"})
    assert decision.final_class == decision.query.predicted_class == "interested"


def test_what_has_no_time_of_its_own_happened_now(made, now):
    assert made.router.route(builders.query()).decision.occurred_at == now


def test_an_unknown_model_is_no_decision(made):
    with pytest.raises(errors.UnknownModel, match="correct the request"):
        made.router.route(builders.query(model="leads"))
    assert made.journal.records == []


@pytest.mark.parametrize(("age", "acts"), [(0.0, True), (86400.0, True), (86400.5, False), (-1e6, True)])
def test_a_calibrator_serves_within_its_staleness_budget(age, acts, made, now):
    made.now = now + age
    decision = made.router.route(builders.query()).decision
    assert decision.may_act is acts
    assert decision.stale_seconds == max(0.0, age)


def test_a_version_with_its_own_calibrator_never_falls_back_to_the_models():
    policy = """
version: 1
models:
  lead-classifier:
    calibrator: models:/c@champion
    versions: {v8: models:/c/8}
    evidence: score
"""
    made = services.bare(policy)
    assert made.router.route(builders.query(model_version="v7")).decision.may_act
    decision = made.router.route(builders.query(model_version="v8")).decision
    assert decision.reasons == (Reason.NO_CALIBRATOR,)
    assert decision.provenance.calibrator is None
    own = builders.calibrator_in_force(versions=("v8",))
    held = {**made.snapshot.calibrators, ("lead-classifier", "v8", "primary"): own}
    made.snapshot = dataclasses.replace(made.snapshot, calibrators=held)
    assert made.router.route(builders.query(model_version="v8")).decision.may_act


def test_one_request_sees_one_snapshot():
    """A swap in the middle of a batch reaches the next request, never the rest of this one."""
    made = services.bare()
    good = made.snapshot

    class Swapping(dict):
        def get(self, key, default=None):
            made.snapshot = dataclasses.replace(good, calibrators={})
            return dict.get(self, key, default)

    made.snapshot = dataclasses.replace(good, calibrators=Swapping(good.calibrators))
    assert all(answer.decision.may_act for answer in made.router.route_batch([builders.query()] * 3))
    assert not made.router.route(builders.query()).decision.may_act


# The audit draw.


def test_the_draw_follows_the_key_the_id_and_the_rate_alone(made):
    for number in range(200):
        decision = made.router.route(builders.query(request_id=f"r-{number}", category="refunds")).decision
        draw = draws.audit_draw(made.keys.current_audit[1], decision.decision_id)
        assert decision.verdict.audit_rate == 0.1
        assert decision.drawn == (draw < 0.1)
        assert (TaskKind.AUDIT in [task.kind for task in decision.tasks]) == decision.drawn


@pytest.mark.slow
def test_what_the_caller_says_does_not_move_the_draw():
    """Neither attributes, subject, evidence in the band nor retries: the id decides."""
    for number in range(50):
        drawn = {
            services.bare()
            .router.route(builders.query(score, request_id=f"r-{number}", subject_ref=subject))
            .decision.drawn
            for score, subject in ((0.91, "a"), (0.99, "b"), (0.95, "c"))
        }
        assert len(drawn) == 1


def test_a_hold_is_not_drawn_and_a_shadow_hold_is():
    policy = """
version: 1
models:
  lead-classifier:
    calibrator: models:/c@champion
    evidence: score
    bands: [{name: all, from: 0, action: HOLD_FOR_REVIEW, audit_rate: 1}]
"""
    made = services.bare(policy)
    live = made.router.route(builders.query(0.6)).decision
    assert (live.verdict.audit_rate, live.drawn, [task.kind for task in live.tasks]) == (
        0.0,
        False,
        [TaskKind.HOLD],
    )
    shadow = made.router.route(builders.query(0.6, intent="SHADOW")).decision
    assert (shadow.verdict.audit_rate, shadow.drawn) == (1.0, True)
    assert [task.kind for task in shadow.tasks] == [TaskKind.AUDIT]


# The journal and the review queue.


@pytest.mark.parametrize(
    ("score", "category", "durable"),
    [(0.95, "general", False), (0.8, "general", False), (0.6, "general", True), (0.1, "general", True),
     (0.99, "pricing", True), (0.99, "unlisted", True)],
)  # fmt: skip
def test_whatever_does_not_act_is_durable_before_it_is_told(score, category, durable, made):
    made.router.route(builders.query(score, category=category))
    assert [each for _, each in made.journal.batches] == [durable]


@pytest.mark.parametrize(("score", "category"), [(0.95, "general"), (0.6, "general"), (0.1, "general"),
                                                 (0.99, "pricing")])  # fmt: skip
def test_what_cannot_be_recorded_is_uncertain(score, category, made):
    made.journal.break_down()
    answer = made.router.route(builders.query(score, category=category, request_id="r-1"))
    decision = answer.decision
    assert decision.action is Action.UNCERTAIN
    assert not decision.may_act
    assert decision.reasons[-1] is Reason.REVIEW_UNAVAILABLE
    assert (decision.tasks, decision.drawn) == ((), False)
    assert answer.retry_after_seconds == 5.0
    assert answer.candidates
    assert made.count("trueband_unrecorded_decisions_total") == 1
    assert made.count("trueband_decisions_total", model="lead-classifier") == 0
    # Once the journal is back, the same request is decided anew: nothing was remembered.
    made.journal.failure = None
    again = made.router.route(builders.query(score, category=category, request_id="r-1"))
    assert not again.replayed
    assert again.decision.action is not Action.UNCERTAIN
    assert made.journal.decisions == [again.decision]


def test_a_batch_that_cannot_be_recorded_acts_on_nothing(made):
    made.journal.break_down()
    unknown = builders.query(model="leads")
    outcomes = made.router.route_batch([builders.query(), unknown, builders.query(0.6), builders.query(0.1)])
    assert codes(outcomes) == ["decision", "MODEL_UNKNOWN", "decision", "decision"]
    decided = [each.decision for each in outcomes if not isinstance(each, errors.TruebandError)]
    assert {each.action for each in decided} == {Action.UNCERTAIN}
    assert made.count("trueband_unrecorded_decisions_total") == 3


def test_a_journal_that_fails_in_an_unknown_way_answers_nothing(made):
    made.journal.failure = RuntimeError("a bug")
    with pytest.raises(RuntimeError):
        made.router.route(builders.query(request_id="r-1"))
    made.journal.failure = None
    assert not made.router.route(builders.query(request_id="r-1")).replayed


def test_with_the_ledger_away_a_hold_says_that_it_is_delayed(made):
    made.health = QueueHealth(away=True, backlog_seconds=14400.0)
    held = made.router.route(builders.query(0.6)).decision
    assert held.action is Action.HOLD_FOR_REVIEW
    assert held.reasons == (Reason.BAND, Reason.REVIEW_DELAYED)
    assert [task.kind for task in held.tasks] == [TaskKind.HOLD]
    acted = made.router.route(builders.query(0.95)).decision
    assert acted.may_act
    assert Reason.REVIEW_DELAYED not in acted.reasons


@pytest.mark.parametrize(("score", "category"), [(0.6, "general"), (0.99, "pricing"), (0.01, "pricing")])
def test_behind_a_backlog_that_is_too_old_a_hold_is_uncertain(score, category, made):
    made.health = QueueHealth(away=True, backlog_seconds=14400.1)
    answer = made.router.route(builders.query(score, category=category, request_id="r-1"))
    assert answer.decision.action is Action.UNCERTAIN
    assert answer.decision.reasons[-1] is Reason.REVIEW_UNAVAILABLE
    assert answer.decision.tasks == ()
    assert answer.retry_after_seconds == 30.0
    assert made.journal.batches == [((answer.decision,), True)]


def test_who_retries_as_told_is_decided_anew(made):
    made.health = QueueHealth(away=True, backlog_seconds=1e6)
    asked = builders.query(0.6, request_id="r-1")
    refused = made.router.route(asked)
    made.health = QueueHealth()
    again = made.router.route(asked)
    assert not again.replayed
    assert again.decision.action is Action.HOLD_FOR_REVIEW
    assert again.decision.decision_id == refused.decision.decision_id


def test_a_backlog_does_not_stop_what_needs_nobody(made):
    made.health = QueueHealth(away=True, backlog_seconds=1e6)
    assert made.router.route(builders.query(0.95)).decision.may_act
    assert made.router.route(builders.query(0.1)).decision.action is Action.REJECT
    assert made.router.route(builders.query(0.6, intent="SHADOW")).decision.action is Action.HOLD_FOR_REVIEW


def test_a_full_journal_behind_a_backlog_gives_its_reason_once(made):
    made.health = QueueHealth(away=True, backlog_seconds=1e6)
    made.journal.break_down()
    answer = made.router.route(builders.query(0.6))
    assert answer.decision.reasons == (Reason.BAND, Reason.REVIEW_UNAVAILABLE)


def test_recorded_answers_are_counted_by_what_they_are(made):
    made.router.route_batch([builders.query(), builders.query(), builders.query(0.99, category="pricing")])
    labels = {"model": "lead-classifier", "band": "auto"}
    assert made.count("trueband_decisions_total", **labels, action="AUTO_ROUTE", may_act="true") == 2
    assert made.count("trueband_decisions_total", **labels, action="HOLD_FOR_REVIEW", may_act="false") == 1
    reasons = {"model": "lead-classifier", "reason": "MANDATORY_REVIEW"}
    assert made.count("trueband_decision_reasons_total", **reasons) == 1

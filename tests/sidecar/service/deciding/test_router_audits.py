"""Decisions under an audit budget: candidates, whose tasks open when the week is closed; nobody is told."""

import msgspec
import pytest

from sidecar.decision import audit, draws, recompute, records
from sidecar.policy.actions import TaskKind
from tests import builders
from tests.sidecar import services

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/c@champion
    evidence: score
    categories: {general: {}, refunds: {audit_rate: 0.9}, exempt: {audit_rate: 0}}
    bands:
      - {name: auto, from: 0.9, action: AUTO_ROUTE, audit_rate: 0.5, audit_budget: 20}
      - {name: flagged, from: 0.7, action: AUTO_ROUTE_FLAGGED, audit_rate: 0.5}
      - {name: hold, from: 0.5, action: HOLD_FOR_REVIEW, audit_budget: 7}
      - {name: reject, from: 0, action: REJECT, audit_rate: 0.5, audit_budget: 30}
review: {audit_due: 3d, audit_grace: 2h}
"""


@pytest.fixture
def made():
    return services.bare(POLICY)


def test_a_candidate_keeps_its_draw_and_plans_a_task_for_after_the_week(made, now):
    opens_at = audit.week_end(audit.week_of(now)) + 7200
    seen = set()
    for number in range(60):
        decision = made.router.route(builders.query(request_id=f"r-{number}")).decision
        draw = draws.audit_draw(made.keys.current_audit[1], decision.decision_id)
        seen.add(decision.drawn)
        assert (decision.verdict.audit_rate, decision.verdict.audit_budget) == (0.5, 20)
        assert decision.drawn == (draw < 0.5)
        assert decision.audit_draw == (draw if decision.drawn else None)
        planned = [(TaskKind.AUDIT, opens_at + 3 * 86400)] if decision.drawn else []
        assert [(task.kind, task.due_at) for task in decision.tasks] == planned
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("score", "changes", "rate", "budget"),
    [
        (0.95, {"category": "refunds"}, 0.9, 20),
        (0.95, {"category": "exempt"}, 0.0, 0),
        (0.8, {}, 0.5, 0),
        (0.6, {}, 0.0, 0),  # a person reviews each one
        (0.6, {"intent": "SHADOW"}, 0.05, 7),  # and here nobody would
        (0.1, {}, 0.5, 30),
    ],
)
def test_the_budget_goes_with_what_is_drawn(made, score, changes, rate, budget):
    decision = made.router.route(builders.query(score, **changes)).decision
    assert (decision.verdict.audit_rate, decision.verdict.audit_budget) == (rate, budget)
    if not budget:
        assert decision.audit_draw is None


def test_without_a_budget_a_record_is_what_it_was():
    decision = services.bare().router.route(builders.query()).decision
    record = msgspec.json.decode(records.encode(decision))
    assert not {"audit_budget", "audit_draw"} & (record.keys() | record["verdict"].keys())


def test_a_budget_is_recomputed_too(made):
    loaded = made.snapshot.policy.loaded
    answer = made.router.route(builders.query(0.1)).decision
    assert answer.provenance.calibrator is not None
    calibrator = made.snapshot.calibrators["lead-classifier", "", "primary"].calibrator
    from calibrators import document

    verdict = recompute.recompute(answer, loaded.canonical, document.dumps(calibrator))
    assert recompute.differences(answer, verdict) == []
    other = builders.altered(answer, audit_budget=31)
    assert recompute.differences(other, verdict) == ["audit_budget: answered 31, recomputed 30"]


def test_what_could_not_be_recorded_is_no_candidate(made):
    made.journal.break_down()
    for number in range(20):
        decision = made.router.route(builders.query(request_id=f"r-{number}")).decision
        assert (decision.drawn, decision.audit_draw, decision.tasks) == (False, None, ())

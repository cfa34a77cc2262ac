from tests import builders
from tests.sidecar import services

"""What the router plans for reviewers: who asked, blind tasks, overlap, and what expires."""

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/lead-classifier-calibrator@champion
    evidence: score
    criterion: helpful
    categories:
      general: {}
      pricing: {mandatory_review: true}
review: {blind_share: 0.5, overlap: {HOLD: 2}, skills: {pricing: money}, expire_after: {HOLD: 1d}}
"""


def held(made, query):
    (task,) = made.router.route(query).decision.tasks
    return task


def test_the_principal_who_asked_is_recorded():
    made = services.bare()
    made.router.route(builders.query(principal="crm"))
    assert made.journal.decisions[0].query.principal == "crm"


def test_a_hold_carries_what_the_policy_says():
    made = services.bare(POLICY, {("lead-classifier", ""): builders.calibrator_in_force(criterion="helpful")})
    task = held(made, builders.query(0.6))
    assert (task.overlap, task.skill, task.criterion) == (2, "", "helpful")
    assert task.expires_at == task.due_at + 86400
    mandatory = held(made, builders.query(0.99, category="pricing"))
    assert (mandatory.skill, mandatory.expires_at) == ("money", None)


def test_a_share_is_blind_by_the_decision_so_that_a_retry_is_the_same():
    def draws():
        made = services.bare(
            POLICY, {("lead-classifier", ""): builders.calibrator_in_force(criterion="helpful")}
        )
        return [held(made, builders.query(0.6, request_id=f"r{number}")).blind for number in range(200)]

    first = draws()
    assert 60 < sum(first) < 140
    assert draws() == first


def test_what_has_no_class_is_never_blind():
    made = services.bare(POLICY, {("lead-classifier", ""): builders.calibrator_in_force(criterion="helpful")})
    assert not any(
        held(made, builders.query(0.6, predicted_class="", request_id=f"r{number}")).blind
        for number in range(50)
    )

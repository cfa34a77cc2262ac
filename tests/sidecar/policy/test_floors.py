"""Floors only take away, in whatever order they come."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy import floors
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, Reason

actions = st.sampled_from(sorted(Action))
any_floor = st.builds(
    floors.FloorHit,
    floor=st.just("detector:x"),
    reason=st.just(Reason.DETECTOR),
    permitted=st.sets(actions).map(lambda permitted: tuple(sorted(permitted))),
)
many = st.lists(any_floor, max_size=4)
mandatory = floors.mandatory_category("pricing")


@given(actions, many)
def test_the_order_of_floors_cannot_matter(proposed, hits):
    assert len({floors.narrow(proposed, order) for order in itertools.permutations(hits)}) == 1


@given(actions, many)
def test_what_remains_is_the_proposal_or_a_person(proposed, hits):
    action = floors.narrow(proposed, hits)
    if all(proposed in hit.permitted for hit in hits):
        assert action is proposed
    else:
        assert action in PERSON_ACTIONS
        assert action is Action.UNCERTAIN or all(action in hit.permitted for hit in hits)


@given(actions, many, any_floor)
def test_one_more_floor_never_gives_back_what_another_took(proposed, hits, further):
    before, after = floors.narrow(proposed, hits), floors.narrow(proposed, [*hits, further])
    if before not in AUTOMATIC_ACTIONS:
        assert after not in AUTOMATIC_ACTIONS
    if before is not Action.REJECT:
        assert after is not Action.REJECT


@given(actions, many)
def test_no_proposal_acts_or_rejects_past_a_mandatory_floor(proposed, hits):
    for hit in (mandatory, floors.mandatory_range("refunds", 0.5, 0.7)):
        assert floors.narrow(proposed, [hit, *hits]) in PERSON_ACTIONS


def test_a_rejection_is_escalated_and_an_act_is_held():
    assert floors.narrow(Action.REJECT, [mandatory]) is Action.ESCALATE
    assert floors.narrow(Action.AUTO_ROUTE, [mandatory]) is Action.HOLD_FOR_REVIEW
    assert floors.narrow(Action.AUTO_ROUTE_FLAGGED, [mandatory]) is Action.HOLD_FOR_REVIEW
    assert floors.narrow(Action.ESCALATE, [mandatory]) is Action.ESCALATE


def test_nothing_permitted_is_uncertain_and_no_floor_changes_nothing():
    nothing = floors.FloorHit(floor="x", reason=Reason.DETECTOR, permitted=())
    for action in Action:
        assert floors.narrow(action, [nothing]) is Action.UNCERTAIN
        assert floors.narrow(action, []) is action


def test_an_unknown_category_gets_at_best_what_the_policy_says():
    held, escalated = (
        floors.unknown_category(action) for action in (Action.HOLD_FOR_REVIEW, Action.ESCALATE)
    )
    assert floors.narrow(Action.AUTO_ROUTE, [held]) is Action.HOLD_FOR_REVIEW
    assert floors.narrow(Action.AUTO_ROUTE, [escalated]) is Action.ESCALATE
    assert floors.narrow(Action.HOLD_FOR_REVIEW, [escalated]) is Action.ESCALATE
    assert floors.narrow(Action.REJECT, [held]) is Action.ESCALATE

"""The brake's laws: it narrows and never widens, and what is in force does not depend on any order."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.decision import records, suspensions
from sidecar.decision.decide import Assessment, settle
from sidecar.decision.proofs import PROBLEMS
from sidecar.decision.suspensions import Resumption, Scope, Suspension, Suspensions
from sidecar.policy import loading
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, AnswerSource, Intent, Reason
from sidecar.policy.floors import narrow
from sidecar.policy.tables import compile_policy

POLICY = """
version: 1
models:
  leads:
    calibrator: models:/c@champion
    evidence: score
    categories:
      general: {}
      refunds: {mandatory_review: [{from: 0.95, to: 1.0}]}
"""
IDS = [f"{number:032x}" for number in range(4)]
ordinary = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)

scopes = st.builds(
    Scope,
    tenant=st.sampled_from((None, "", "acme")),
    model=st.sampled_from(("", "leads", "churn")),
    model_version=st.sampled_from(("", "v7")),
    band=st.sampled_from(("", "auto", "reject")),
    category=st.sampled_from(("", "general", "refunds")),
    source=st.sampled_from((None, *AnswerSource)),
)
suspended = st.builds(
    Suspension,
    suspension_id=st.sampled_from(IDS),
    scope=scopes,
    explanation=st.sampled_from(("a complaint", "drift")),
    suspended_by=st.sampled_from(("ada", "bob")),
    suspended_at=st.sampled_from((1.0, 2.0, 0.1 + 0.2)),
    sidecar_id=st.sampled_from(("s1", "s2")),
)
resumed = st.builds(
    Resumption,
    suspension_id=st.sampled_from(IDS),
    explanation=st.just("looked at"),
    resumed_by=st.sampled_from(("ada", "bob")),
    resumed_at=st.sampled_from((3.0, 4.0)),
    sidecar_id=st.sampled_from(("s1", "s2")),
)
events = st.lists(st.one_of(suspended, resumed), max_size=10)
requests = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from(("", "acme", "other")),
        "model": st.sampled_from(("leads", "churn", "other")),
        "model_version": st.sampled_from(("", "v7", "v8")),
        "band": st.sampled_from((None, "", "auto", "hold", "reject")),
        "category": st.sampled_from(("", "general", "refunds")),
        "source": st.sampled_from(tuple(AnswerSource)),
    }
)


def suspension(number=0, *, at=1.0, **scope):
    return Suspension(
        suspension_id=IDS[number],
        scope=Scope(**scope),
        explanation="a complaint",
        suspended_by="ada",
        suspended_at=at,
        sidecar_id="s1",
    )


def resumption(number=0):
    return Resumption(
        suspension_id=IDS[number], explanation="ok", resumed_by="bob", resumed_at=9.0, sidecar_id="s2"
    )


def hits(active, **changes):
    request = {
        "tenant": "acme",
        "model": "leads",
        "model_version": "v7",
        "band": "auto",
        "category": "general",
        "source": AnswerSource.PRIMARY,
    }
    return suspensions.hits(active, **(request | changes))


@pytest.mark.slow
@ordinary
@given(
    active=st.lists(suspended, max_size=4).map(tuple),
    request=requests,
    confidence=st.one_of(st.none(), st.floats(0, 1)),
    problem=st.sampled_from((None, None, *PROBLEMS)),
    category=st.sampled_from(("general", "refunds", "unheard_of", "legal_language")),
    intent=st.sampled_from(tuple(Intent)),
)
def test_a_suspension_can_only_narrow(active, request, confidence, problem, category, intent):
    table = compile_policy(loading.parse(POLICY).policy)["leads"]
    assessment = Assessment(confidence, confidence, problem)
    without = settle(assessment, category, intent, table)
    binding = suspensions.hits(active, **request)
    suspended_too = settle(assessment, category, intent, table, binding)
    if not binding:
        assert suspended_too == without
        return
    assert suspended_too.action in PERSON_ACTIONS
    assert not suspended_too.may_act
    assert Reason.SUSPENDED in suspended_too.reasons
    assert set(without.floors) <= set(suspended_too.floors)
    assert suspended_too.mandatory == without.mandatory
    if without.action in PERSON_ACTIONS:
        assert suspended_too.action is without.action


@pytest.mark.slow
@ordinary
@given(active=st.lists(suspended, max_size=4).map(tuple), request=requests, more=suspended)
def test_one_more_suspension_never_lets_go_of_anything(active, request, more):
    before, after = suspensions.hits(active, **request), suspensions.hits((*active, more), **request)
    assert set(before) <= set(after)
    for action in Action:
        if narrow(action, before) not in AUTOMATIC_ACTIONS:
            assert narrow(action, after) not in AUTOMATIC_ACTIONS


@ordinary
@given(given_events=events, order=st.randoms(use_true_random=False), cut=st.integers(0, 10))
def test_what_is_in_force_does_not_depend_on_order_repetition_or_who_heard_it_first(given_events, order, cut):
    straight = suspensions.merge(Suspensions(), given_events)
    shuffled = [*given_events, *given_events[:cut]]
    order.shuffle(shuffled)
    first = suspensions.merge(Suspensions(), shuffled[:cut])
    second = suspensions.merge(Suspensions(), shuffled[cut:])
    assert suspensions.merge(Suspensions(), shuffled) == straight
    assert suspensions.merge(first, second.events()) == straight
    assert suspensions.merge(second, first.events()) == straight
    assert suspensions.merge(straight, straight.events()) == straight
    assert suspensions.merge(first, second.events()).active() == straight.active()


@ordinary
@given(given_events=events)
def test_a_resumption_lifts_its_own_suspension_and_no_other(given_events):
    known = suspensions.merge(Suspensions(), given_events)
    set_ids = {event.suspension_id for event in given_events if isinstance(event, Suspension)}
    lifted_ids = {event.suspension_id for event in given_events if isinstance(event, Resumption)}
    assert {each.suspension_id for each in known.active()} == set_ids - lifted_ids


@ordinary
@given(event=st.one_of(suspended, resumed))
def test_an_event_is_a_record_of_the_journal(event):
    assert records.decode(records.encode(event)) == event


def test_nothing_suspended_costs_nothing_and_binds_nothing():
    assert hits(()) == ()
    assert (
        suspensions.hits_by_source((), tenant="", model="leads", model_version="", category="general") == {}
    )


@pytest.mark.parametrize(
    ("scope", "other"),
    [
        ({"tenant": "acme"}, {"tenant": ""}),
        ({"model": "leads"}, {"model": "churn"}),
        ({"model_version": "v7"}, {"model_version": ""}),
        ({"band": "auto"}, {"band": "flagged"}),
        ({"band": "auto"}, {"band": ""}),
        ({"category": "general"}, {"category": "refunds"}),
        ({"source": AnswerSource.PRIMARY}, {"source": AnswerSource.SECONDARY}),
    ],
)
def test_a_scope_covers_what_it_names_and_nothing_else(scope, other):
    active = (suspension(**scope),)
    (hit,) = hits(active)
    assert hit.floor == f"suspension:{IDS[0]}"
    assert hit.reason is Reason.SUSPENDED
    assert frozenset(hit.permitted) == PERSON_ACTIONS
    assert hits(active, **other) == ()


def test_the_default_tenant_can_be_suspended_alone():
    active = (suspension(tenant=""),)
    assert hits(active, tenant="")
    assert not hits(active)
    assert hits((suspension(tenant=None),))


def test_an_empty_scope_covers_everything():
    active = (suspension(),)
    assert hits(active, tenant="x", model="y", model_version="z", band="", category="", source="RULES")


def test_every_suspension_that_covers_an_answer_is_named():
    active = (suspension(0, model="leads"), suspension(1, band="auto"), suspension(2, model="churn"))
    assert [hit.floor for hit in hits(active)] == [f"suspension:{IDS[0]}", f"suspension:{IDS[1]}"]


def test_steps_of_the_chain_are_kept_back_whatever_their_band():
    """Their band is not known before they are asked, and a suspended one must not be asked in vain."""
    active = (suspension(0, band="auto"), suspension(1, source=AnswerSource.SECONDARY))
    binding = suspensions.hits_by_source(
        active, tenant="", model="leads", model_version="v7", category="general"
    )
    assert [hit.floor for hit in binding[AnswerSource.RULES]] == [f"suspension:{IDS[0]}"]
    assert len(binding[AnswerSource.SECONDARY]) == 2
    only = suspensions.hits_by_source(
        active[1:], tenant="", model="leads", model_version="v7", category="general"
    )
    assert set(only) == {AnswerSource.SECONDARY}


def test_the_newest_suspension_comes_first():
    known = suspensions.merge(Suspensions(), [suspension(0, at=1.0), suspension(1, at=5.0)])
    assert [each.suspension_id for each in known.active()] == [IDS[1], IDS[0]]


def test_forgetting_old_liftings_keeps_what_is_in_force():
    known = suspensions.merge(
        Suspensions(),
        [*(suspension(number) for number in range(4)), *(resumption(number) for number in range(3))],
    )
    shorter = suspensions.without_oldest_lifted(known, 1)
    assert shorter.active() == known.active()
    assert len(shorter.resumed) == 1
    assert set(shorter.suspended) == {IDS[3], *shorter.resumed}
    assert suspensions.without_oldest_lifted(known, 3) == known


def test_a_field_of_a_newer_version_is_not_dropped_in_silence():
    """A scope with a field that is not understood would cover more, or less, than was meant."""
    body = records.encode(suspension()).replace(b'"scope":{', b'"scope":{"region":"eu"')
    with pytest.raises(msgspec.ValidationError, match="region"):
        records.decode(body)


def test_the_recorded_suspensions_are_found_among_the_floors():
    binding = hits((suspension(),))
    assert (
        suspensions.recorded((*binding, msgspec.structs.replace(binding[0], reason=Reason.DETECTOR)))
        == binding
    )


def test_a_scope_in_words():
    assert suspensions.text(Scope()) == "everything"
    words = suspensions.text(Scope(tenant="", model="leads", model_version="v7", source=AnswerSource.RULES))
    assert words == "tenant '', model leads, model version v7, source RULES"

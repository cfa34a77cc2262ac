"""A suspension that could never bind is refused, since somebody would take it for a brake."""

import pytest

from sidecar.decision import suspension_scope
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.policy import loading
from sidecar.policy.tables import compile_policy

POLICY = """
version: 1
models:
  leads:
    calibrator: models:/c@champion
    evidence: score
    categories:
      general: {}
      Refunds: {bands: [{name: only, from: 0.00, action: ESCALATE}]}
  churn:
    calibrator: models:/c@champion
    evidence: score
    bands: [{name: all, from: 0.00, action: HOLD_FOR_REVIEW}]
"""


def tables(text=POLICY):
    return compile_policy(loading.parse(text).policy)


def fields(**scope):
    return [item.field for item in suspension_scope.mistakes(Scope(**scope), tables())]


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"tenant": "whoever"},
        {"model": "leads", "model_version": "whatever"},
        {"model": "leads", "band": "auto"},
        {"model": "leads", "band": "only"},
        {"model": "leads", "band": "only", "category": "refunds"},
        {"band": "all"},
        {"category": "refunds"},
        {"category": "legal_language"},
        {"category": "unheard_of"},  # churn lists no categories, so it may be one of its
    ],
)
def test_what_can_bind_is_taken(scope):
    assert fields(**scope) == []


@pytest.mark.parametrize(
    ("scope", "field", "says"),
    [
        ({"model": "lead"}, "scope.model", "churn, leads"),
        ({"model": "leads", "band": "all"}, "scope.band", "auto, flagged, hold, only, reject"),
        ({"model": "leads", "category": "refunds", "band": "auto"}, "scope.band", "only"),
        ({"band": "Auto"}, "scope.band", "auto"),
        ({"model": "leads", "category": "unheard_of"}, "scope.category", "general"),
    ],
)
def test_what_can_never_bind_is_named_with_what_there_is(scope, field, says):
    (mistake,) = suspension_scope.mistakes(Scope(**scope), tables())
    assert mistake.field == field
    assert says in mistake.description


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        ({"tenant": "x" * 257}, "scope.tenant"),
        ({"model_version": "ü" * 129}, "scope.model_version"),
        ({"tenant": "a\0b"}, "scope.tenant"),
        ({"band": "auto\x1b"}, "scope.band"),
        ({"category": "\u200b"}, "scope.category"),
    ],
)
def test_a_text_that_cannot_be_kept_is_named(scope, field):
    assert [item.field for item in suspension_scope.malformed(Scope(**scope))] == [field]
    assert suspension_scope.malformed(Scope(tenant="", model="leads")) == ()


def test_a_category_is_taken_in_its_normal_form():
    scope = suspension_scope.normal(Scope(tenant="", category=" Legal-Language", band="auto"))
    assert scope == Scope(tenant="", category="legal_language", band="auto")


def active(**scope):
    return (
        Suspension(
            suspension_id="a" * 32,
            scope=Scope(**scope),
            explanation="why",
            suspended_by="ada",
            suspended_at=1.0,
            sidecar_id="s",
        ),
    )


def test_a_renamed_band_does_not_lift_its_suspension():
    renamed = tables(POLICY.replace("name: only", "name: other"))
    (told,) = suspension_scope.loosened(active(band="only"), tables(), renamed)
    assert "a" * 32 in told
    assert "other" in told
    assert suspension_scope.loosened(active(band="auto"), tables(), renamed) == []
    assert suspension_scope.loosened(active(), tables(), renamed) == []


def test_a_model_that_is_gone_needs_no_brake():
    without = tables(POLICY.replace("  churn:", "  other:"))
    assert suspension_scope.loosened(active(model="churn", band="all"), tables(), without) == []


def test_what_did_not_bind_before_is_not_loosened():
    assert suspension_scope.loosened(active(band="long_gone"), tables(), tables()) == []

"""Which labels feed which stream, and which feed none."""

import dataclasses

import msgspec
import pytest

from sidecar.decision.steps import CalibratorReference, FallbackStep
from sidecar.decision.tasks import task_id
from sidecar.policy import loading
from sidecar.policy.actions import Action, AnswerSource, Intent, TaskKind
from tests import builders
from training.watch import streams

POLICY = """
version: 1
models:
  leads:
    calibrator: models:/leads-calibrator@champion
    evidence: score
    bands:
      - {name: auto, from: 0.90, action: AUTO_ROUTE, promise: {accuracy: 0.95}}
      - {name: flagged, from: 0.70, action: AUTO_ROUTE_FLAGGED}
      - {name: reject, from: 0.00, action: REJECT}
    categories:
      general: {}
      Refunds and returns: {promise: {accuracy: 0.99}}
      own bands:
        bands:
          - {name: auto, from: 0.97, action: AUTO_ROUTE}
          - {name: hold, from: 0.00, action: HOLD_FOR_REVIEW}
"""
ENTRY = loading.parse(POLICY).policy.models["leads"]


def build(*labelled):
    return streams.build(labelled, lambda digest: ENTRY if digest == "p" else None)


def test_a_stream_is_a_stratum_in_the_order_in_which_its_labels_became_known(make_labelled) -> None:
    given = [
        make_labelled(3, False, label_recorded_at=900.0),
        make_labelled(2, label_recorded_at=500.0),
        make_labelled(1, label_recorded_at=900.0),
    ]
    built = build(*given)
    (stream,) = built.observations
    assert (stream.model, stream.model_version, stream.source) == ("leads", "v1", "PRIMARY")
    assert (stream.band, stream.action, stream.audit_rate) == ("auto", "AUTO_ROUTE", 0.05)
    assert (stream.calibrator, stream.promise, stream.category) == ("sha256:champion", 0.95, "")
    assert [seen.decision_id for seen in built.observations[stream]] == ["d000002", "d000001", "d000003"]
    assert [seen.correct for seen in built.observations[stream]] == [True, True, False]
    assert {seen.confidence for seen in built.observations[stream]} == {0.95}
    assert built.left_out == {}


@pytest.mark.parametrize(
    "change",
    [
        {"model_version": "v2"},
        {"band": "flagged"},
        {"action": Action.AUTO_ROUTE_FLAGGED},
        {"audit_rate": 0.1},
        {"calibrator": CalibratorReference(name="c", version="4", kind="platt", digest="sha256:next")},
        {"category": "refunds_and_returns"},
        {"may_act": False},
    ],
)
def test_what_makes_another_stream(make_labelled, change) -> None:
    built = build(make_labelled(1), make_labelled(2, **change))
    assert len(built.observations) == 2
    assert len({stream.id for stream in built.observations}) == 2


def test_tenant_and_category_are_domains_and_make_none(make_labelled) -> None:
    built = build(make_labelled(1), make_labelled(2, tenant="acme", category="other", subject_ref="x"))
    assert len(built.observations) == 1


def test_a_category_with_a_promise_or_bands_of_its_own_is_apart(make_labelled) -> None:
    built = build(
        make_labelled(1),
        make_labelled(2, category="refunds_and_returns"),
        make_labelled(3, category="own_bands"),
        make_labelled(4, category="refunds_and_returns", band="reject", action=Action.REJECT, may_act=False),
    )
    promises = {(stream.category, stream.band): stream.promise for stream in built.observations}
    assert promises == {
        ("", "auto"): 0.95,
        ("refunds_and_returns", "auto"): 0.99,
        ("own_bands", "auto"): 0.97,
        ("refunds_and_returns", "reject"): None,
    }
    assert sum(len(seen) for seen in built.observations.values()) == 4, "each label counts once"


def test_a_band_that_promises_nothing_in_words_promises_its_lower_edge(make_labelled) -> None:
    (stream,) = build(make_labelled(1, band="flagged", action=Action.AUTO_ROUTE_FLAGGED)).observations
    assert stream.promise == 0.7


def test_only_what_an_audit_drew_feeds(make_labelled) -> None:
    hold, batch = (
        task_id(f"d{number:06d}", kind) for number, kind in ((3, TaskKind.HOLD), (6, TaskKind.BATCH))
    )
    given = [
        make_labelled(1, drawn=False, propensity=None),
        make_labelled(2, decision_drawn=False),
        make_labelled(3, label_task_id=hold, propensity=1.0),
        make_labelled(4, propensity=None),
        make_labelled(5, intent=Intent.SHADOW),
        make_labelled(6, label_task_id=batch, propensity=1.0),
        make_labelled(7, label_task_id=task_id(task_id("d000007", TaskKind.BATCH), TaskKind.ADJUDICATION)),
        make_labelled(8, about="SECONDARY"),
        make_labelled(9),
        make_labelled(10, propensity=0.01),  # a budget has thinned the draw
        make_labelled(11, propensity=1.0),  # its whole next-day batch was reviewed, too
        make_labelled(12, label_task_id=task_id(task_id("d000012", TaskKind.AUDIT), TaskKind.ADJUDICATION)),
        make_labelled(13, label_task_id=""),  # a correction of what came from the audit
    ]
    built = build(*given)
    (seen,) = built.observations.values()
    assert [each.decision_id for each in seen] == ["d000009", "d000010", "d000011", "d000012", "d000013"]
    assert built.left_out == {
        "not drawn for audit": 2,
        "from a task of kind HOLD": 1,
        "whose probability is not known yet": 1,
        "of a shadow request": 1,
        "from a task of kind BATCH": 2,
        "about another answer than the one that decided": 1,
    }


def test_an_audit_of_everything_still_feeds(make_labelled) -> None:
    built = build(make_labelled(1, audit_rate=1.0))
    assert [stream.audit_rate for stream in built.observations] == [1.0]


def test_a_step_that_decided_is_judged_by_its_own_confidence_and_calibrator(make_labelled) -> None:
    own = CalibratorReference(name="second", version="1", kind="platt", digest="sha256:second")
    steps = (
        FallbackStep(step="rules", outcome="NO_ANSWER"),
        FallbackStep(step="secondary", outcome="CLEARED", calibrated_confidence=0.91, calibrator=own),
    )
    built = build(
        make_labelled(1, source=AnswerSource.SECONDARY, steps=steps, about="SECONDARY"),
        make_labelled(2, source=AnswerSource.SECONDARY, steps=steps),
    )
    ((stream, seen),) = built.observations.items()
    assert (stream.source, stream.calibrator, stream.primary_calibrator) == (
        "SECONDARY",
        "sha256:second",
        "sha256:champion",
    )
    assert [each.confidence for each in seen] == [0.91]
    assert built.left_out == {"about another answer than the one that decided": 1}


def test_a_label_under_a_policy_that_nobody_has_is_counted_and_left_out(make_labelled) -> None:
    given = make_labelled(1)
    elsewhere = builders.altered(given.decision, policy_digest="?")
    unknown = msgspec.structs.replace(given, decision=elsewhere)
    built = build(unknown)
    assert built.observations == {}
    assert built.left_out == {"under a policy that the ledger does not have": 1}


def test_the_id_follows_from_what_the_stream_is(make_labelled) -> None:
    (stream,) = build(make_labelled(1)).observations
    (again,) = build(make_labelled(2)).observations
    assert stream.id == again.id
    assert len(stream.id) == 12
    assert dataclasses.replace(stream, promise=0.96).id != stream.id
    assert str(stream) == "auto, leads v1"

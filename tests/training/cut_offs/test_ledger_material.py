"""Which of a ledger's labels certify, and which decisions the model's bands decide."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import calibrators
from calibrators import Calibrator, Evidence
from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from sidecar.policy.actions import Action, AnswerSource, Intent, Reason
from sidecar.policy.floors import FloorHit
from training import errors
from training.cut_offs import ledger_material, thinning
from training.cut_offs.material import Material


def material(world: Any, calibrator: Calibrator | None = None, **options: Any) -> Material:
    with Ledger(world.write()) as ledger:
        return ledger_material.from_ledger(ledger, "leads", world.loaded, calibrator, **options)


def test_every_drawn_label_counts_with_its_propensity(world: Any) -> None:
    for number in range(40):
        world.decide(number, 0.95 if number % 2 else 0.6, correct=number % 4 < 2)
    world.decide(40, 0.7)  # not labelled
    found = material(world)
    assert len(found.sample) == 40
    assert sorted(set(found.sample.propensity.tolist())) == [0.25, 1.0]
    assert found.sample.wrong.sum() == 20
    assert found.confidence.size == 41
    assert found.calibrator == world.calibrator
    assert (dict(found.left_out), found.elsewhere) == ({}, 0.0)
    # The upper ones are all there, since nothing below them is drawn more rarely.
    assert thinning.tally(found.sample, [Decimal("0.9")])[0].tolist() == [20]


def test_labels_that_the_calibrator_was_fitted_to_do_not_certify(
    world: Any, calibrator_of: Callable[..., Calibrator]
) -> None:
    for number in range(40):
        world.decide(number, 0.6, correct=True)
    # START is 2026-09-21T14:13:20Z; the window is in whole seconds, rounded down.
    found = material(world, calibrator_of("2026-09-21T14:13:39Z"))
    assert len(found.sample) == 20
    assert found.confidence.size == 40  # the load is that of all
    with pytest.raises(errors.NotEnoughLabels, match="only answers given after its last label count"):
        material(world, calibrator_of("2026-09-21T14:13:59Z"))
    with pytest.raises(errors.RequestRefused, match="does not say up to when it was fitted"):
        material(world, calibrator_of(None))
    # What a person wrote by hand was fitted to nothing.
    assert len(material(world, calibrators.Calibrator(map=calibrators.Identity())).sample) == 40


def test_since_narrows_labels_and_load(world: Any) -> None:
    made = [world.decide(number, 0.6, correct=True) for number in range(10)]
    found = material(world, since=made[6].decided_at)
    assert (len(found.sample), found.confidence.size) == (4, 4)


def test_another_calibrator_is_put_to_the_stored_evidence(
    world: Any, calibrator_of: Callable[..., Calibrator]
) -> None:
    for number in range(10):
        world.decide(number, 0.6, correct=True, calibrated_confidence=0.61)
    assert set(material(world).confidence) == {0.61}  # as it was decided
    other = calibrator_of(map=calibrators.Platt(1.0, 1.0))
    expected = other.apply_one(0.6)
    found = material(world, other)
    assert found.confidence == pytest.approx(np.full(10, expected))
    assert found.sample.confidence == pytest.approx(np.full(10, expected))


def test_category_offsets_count(world: Any, calibrator_of: Callable[..., Calibrator]) -> None:
    world.decide(1, 0.6, correct=True)
    shifted = calibrator_of(category_offsets={"general": 1.0})
    assert material(world, shifted).confidence[0] == pytest.approx(shifted.apply_one(0.6, "general"))
    assert material(world, shifted).confidence[0] > 0.75


def test_bands_on_the_lower_bound(world: Any, calibrator_of: Callable[..., Calibrator]) -> None:
    world.loaded = loading.parse(
        world.loaded.canonical.replace('"band_on":"calibrated"', '"band_on":"lower_bound"')
    )
    assert world.loaded.policy.models["leads"].band_on == "lower_bound"
    world.decide(1, 0.95, correct=True, lower_bound=0.91, policy_digest="sha256:none")
    assert material(world).confidence.tolist() == [0.91]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"category": "refunds"}, "in a category with bands of its own"),
        ({"category": "pricing"}, "that wait for a person whatever the confidence"),
        ({"category": "unheard_of"}, "that wait for a person whatever the confidence"),
        ({"intent": Intent.SHADOW}, "of shadow requests"),
        ({"model_version": "v0"}, "of another model version"),
        ({"evidence": Evidence("score", (0.6,), truncated=True)}, "of truncated generations"),
        (
            {"floors": (FloorHit(floor="detector:x", reason=Reason.DETECTOR, permitted=(Action.ESCALATE,)),)},
            "that wait for a person whatever the confidence",
        ),
    ],
)
def test_answers_that_these_bands_do_not_decide(world: Any, changes: dict[str, Any], reason: str) -> None:
    for number in range(4):
        world.decide(number, 0.6, correct=True)
    world.decide(5, 0.6, correct=True, **changes)
    found = material(world, versions=("v1",))
    assert dict(found.left_out) == {reason: 1}
    assert (len(found.sample), found.confidence.size) == (4, 4)
    assert found.elsewhere == pytest.approx(0.2)


def test_a_suspension_ends_so_that_its_answers_count(world: Any) -> None:
    hit = FloorHit(floor="suspension:x", reason=Reason.SUSPENDED, permitted=(Action.HOLD_FOR_REVIEW,))
    world.decide(1, 0.6, correct=True, floors=(hit,))
    assert len(material(world).sample) == 1


def test_a_group_counts_once(world: Any) -> None:
    for number in range(30):
        world.decide(number, 0.6, correct=True, group_key=f"g{number // 10}")
    found = material(world)
    assert len(found.sample) == 3
    assert dict(found.left_out) == {"beyond the one that each group may have": 27}


def test_where_the_chain_decides_no_cut_off_is_tried(world: Any) -> None:
    world.decide(1, 0.6, correct=True)
    world.decide(2, 0.65, source=AnswerSource.RULES, final_class="not_now")
    found = material(world)
    assert found.lowest == Decimal("0.6501")
    assert any("fallback chain" in note for note in found.notes)


def test_model_versions_are_not_pooled_unless_told_to(world: Any) -> None:
    world.decide(1, 0.6, correct=True)
    world.decide(2, 0.6, correct=True, model_version="v2")
    with pytest.raises(errors.RequestRefused, match=r"several model versions \(v1, v2\)"):
        material(world)
    assert len(material(world, pool=True).sample) == 2
    assert len(material(world, versions=("v2",)).sample) == 1


def test_a_ledger_without_the_model_or_the_calibrator(world: Any) -> None:
    with pytest.raises(errors.NotEnoughLabels, match="has no decision of model 'leads'"):
        material(world)
    world.decide(1, 0.6, correct=True, calibrator=None, calibrated_confidence=None)
    with pytest.raises(errors.RequestRefused, match="name it with --calibrator"):
        material(world)


def test_no_label_at_all(world: Any) -> None:
    world.decide(1, 0.6)
    with pytest.raises(errors.NotEnoughLabels, match="there is none"):
        material(world)

"""The material in a labelled file, and in a ledger."""

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
from sidecar.policy.model import Category, Model
from training import errors
from training.cut_offs import exact_tests, material
from training.cut_offs.material import Material
from training.data.dataset import Dataset
from training.fit import fitting

Simulate = Callable[..., Dataset]


def at(dataset: Dataset, times: np.ndarray) -> Dataset:
    return Dataset.of(dataset.scores, dataset.correct, times=times, groups=dataset.groups)


def test_with_a_calibrator_every_row_certifies(simulate: Simulate) -> None:
    data = simulate(500)
    found = material.from_dataset(data, Calibrator(map=calibrators.Platt(2.0, 0.0)))
    assert len(found.sample) == found.confidence.size == 500
    assert found.notes == ()
    assert found.confidence == pytest.approx(Calibrator(map=calibrators.Platt(2.0, 0.0)).apply(data.scores))


def test_the_labels_of_the_fit_certify_nothing(simulate: Simulate) -> None:
    data = simulate(500)
    own = fitting.calibrator(fitting.fit("beta", data), data)
    with pytest.raises(errors.RequestRefused, match="fitted to these very labels"):
        material.from_dataset(data, own)


def test_rows_of_the_fits_window_do_not_certify(simulate: Simulate) -> None:
    data = at(simulate(100), np.arange(100.0))
    first = data.take(np.arange(40))
    own = fitting.calibrator(fitting.fit("beta", first), first)
    found = material.from_dataset(data, own)
    assert len(found.sample) == 60
    assert dict(found.left_out) == {"no later than the last label of the calibrator's fit": 40}
    with pytest.raises(errors.NotEnoughLabels, match="no row is later than the last label"):
        material.from_dataset(data.take(np.arange(20, 40)), own)


def test_what_nothing_shows_to_be_new_certifies_nothing_unless_somebody_vouches(simulate: Simulate) -> None:
    data = simulate(100)
    dated = at(data, np.arange(100.0))
    with_window = fitting.calibrator(fitting.fit("beta", dated), dated)
    without = fitting.calibrator(fitting.fit("beta", data), data)
    others = simulate(50, seed=9)
    for calibrator, rows, words in (
        (with_window, others, "carry no times"),
        (without, others, "does not say up to when"),
        (without, dated, "does not say up to when"),
    ):
        with pytest.raises(errors.RequestRefused, match=words):
            material.from_dataset(rows, calibrator)
        assert len(material.from_dataset(rows, calibrator, vouched=True).sample) == len(rows)


def test_without_a_calibrator_the_earlier_half_fits(simulate: Simulate) -> None:
    data = at(simulate(400, stretch=2.0), np.arange(400.0))
    found = material.from_dataset(data, None)
    assert len(found.sample) == 200
    fit = found.calibrator.fit
    assert fit is not None
    assert (fit.n, fit.window_to) == (200, "1970-01-01T00:03:19Z")
    assert found.confidence == pytest.approx(found.calibrator.apply(data.scores[200:]))
    assert "the earlier half of them" in found.notes[0]


def test_a_group_of_the_fit_does_not_certify(simulate: Simulate) -> None:
    data = simulate(400)
    grouped = Dataset.of(
        data.scores,
        data.correct,
        times=np.arange(400.0),
        groups=np.where(np.arange(400) % 4, np.arange(400), -1),
    )
    found = material.from_dataset(grouped, None)
    assert len(found.sample) == 150  # every fourth row of the later half shares a group with the earlier one


def test_without_times_whole_groups_are_divided_at_random(simulate: Simulate) -> None:
    data = simulate(400, group_size=4)
    first, again, other = (material.from_dataset(data, None, seed=seed) for seed in (1, 1, 2))
    assert len(first.sample) == 50  # one of each of the 50 groups
    assert first.confidence.size == 200
    assert dict(first.left_out) == {"beyond the one that each group may have": 150}
    assert first.sample.confidence.tolist() == again.sample.confidence.tolist()
    assert first.sample.confidence.tolist() != other.sample.confidence.tolist()


def test_rows_that_cannot_be_divided(simulate: Simulate) -> None:
    data = simulate(50)
    with pytest.raises(errors.NotEnoughLabels, match="cannot be divided"):
        material.from_dataset(at(data, np.zeros(50)), None)
    one = Dataset.of(data.scores, data.correct, groups=np.zeros(50))
    with pytest.raises(errors.NotEnoughLabels, match="cannot be divided"):
        material.from_dataset(one, None)


def test_weights_are_inverse_propensities(simulate: Simulate) -> None:
    data = simulate(300, weighted=True)
    found = material.from_dataset(data, Calibrator(map=calibrators.Identity()))
    assert found.sample.propensity == pytest.approx(1.0 / data.weights)
    assert found.weights.tolist() == data.weights.tolist()


def test_bands_on_the_lower_bound_need_a_curve(simulate: Simulate) -> None:
    data = simulate(100)
    entry = material.DEFAULTS.model_copy(update={"band_on": "lower_bound"})
    with pytest.raises(errors.RequestRefused, match="no lower curve"):
        material.from_dataset(data, Calibrator(map=calibrators.Identity()), entry=entry)
    curve = calibrators.LowerCurve(level=0.9, method="by hand", confidences=(0.5, 1.0), bounds=(0.4, 0.8))
    own = Calibrator(map=calibrators.Identity(), lower=curve)
    found = material.from_dataset(data, own, entry=entry)
    assert found.confidence[0] == own.bound_of(float(own.apply(data.scores)[0]))
    assert np.all(found.confidence < data.scores)


def test_rows_of_categories_that_the_bands_do_not_decide_are_left_out(simulate: Simulate) -> None:
    data = simulate(100)
    names = np.array(["general", "Refunds", "pricing", "unheard of"])[np.arange(100) % 4]
    with_categories = Dataset.of(data.scores, data.correct, categories=names)
    identity = Calibrator(map=calibrators.Identity())
    entry = Model(
        calibrator="file:none",
        evidence="score",
        categories={
            "general": Category(),
            "refunds": Category.model_validate(
                {"bands": [{"name": "look", "from": 0.0, "action": "HOLD_FOR_REVIEW"}]}
            ),
        },
    )
    found = material.from_dataset(with_categories, identity, entry=entry)
    assert len(found.sample) == 25
    assert found.confidence == pytest.approx(identity.apply(data.scores[::4]))
    assert dict(found.left_out) == {
        "in a category with bands of its own": 25,
        "that wait for a person whatever the confidence": 50,
    }
    assert found.elsewhere == 0.75
    # A policy that lists none has only those that are always mandatory.
    assert len(material.from_dataset(with_categories, identity).sample) == 75
    none = Dataset.of(data.scores, data.correct, categories=np.full(100, "pricing"))
    with pytest.raises(errors.NotEnoughLabels, match="decide none of the rows"):
        material.from_dataset(none, identity)


def of_ledger(world: Any, calibrator: Calibrator | None = None, **options: Any) -> Material:
    with Ledger(world.write()) as ledger:
        return material.from_ledger(ledger, "leads", world.loaded, calibrator, **options)


def test_every_drawn_label_counts_with_its_propensity(world: Any) -> None:
    for number in range(40):
        world.decide(number, 0.95 if number % 2 else 0.6, correct=number % 4 < 2)
    world.decide(40, 0.7)  # not labelled
    found = of_ledger(world)
    assert len(found.sample) == 40
    assert sorted(set(found.sample.propensity.tolist())) == [0.25, 1.0]
    assert found.sample.wrong.sum() == 20
    assert found.confidence.size == 41
    assert found.calibrator == world.calibrator
    assert (dict(found.left_out), found.elsewhere) == ({}, 0.0)
    # The upper ones are all there, since nothing below them is drawn more rarely.
    assert exact_tests.tally(found.sample, [Decimal("0.9")])[0].tolist() == [20]


def test_labels_that_the_calibrator_was_fitted_to_do_not_certify(
    world: Any, calibrator_of: Callable[..., Calibrator]
) -> None:
    for number in range(40):
        world.decide(number, 0.6, correct=True)
    # START is 2026-09-21T14:13:20Z; the window is in whole seconds, rounded down.
    found = of_ledger(world, calibrator_of("2026-09-21T14:13:39Z"))
    assert len(found.sample) == 20
    assert found.confidence.size == 40  # the load is that of all
    with pytest.raises(errors.NotEnoughLabels, match="only answers given after its last label count"):
        of_ledger(world, calibrator_of("2026-09-21T14:13:59Z"))
    with pytest.raises(errors.RequestRefused, match="does not say up to when it was fitted"):
        of_ledger(world, calibrator_of(None))
    # What a person wrote by hand was fitted to nothing.
    assert len(of_ledger(world, calibrators.Calibrator(map=calibrators.Identity())).sample) == 40


def test_since_narrows_labels_and_load(world: Any) -> None:
    made = [world.decide(number, 0.6, correct=True) for number in range(10)]
    found = of_ledger(world, since=made[6].decided_at)
    assert (len(found.sample), found.confidence.size) == (4, 4)


def test_another_calibrator_is_put_to_the_stored_evidence(
    world: Any, calibrator_of: Callable[..., Calibrator]
) -> None:
    for number in range(10):
        world.decide(number, 0.6, correct=True, calibrated_confidence=0.61)
    assert set(of_ledger(world).confidence) == {0.61}  # as it was decided
    other = calibrator_of(map=calibrators.Platt(1.0, 1.0))
    expected = other.apply_one(0.6)
    found = of_ledger(world, other)
    assert found.confidence == pytest.approx(np.full(10, expected))
    assert found.sample.confidence == pytest.approx(np.full(10, expected))


def test_category_offsets_count(world: Any, calibrator_of: Callable[..., Calibrator]) -> None:
    world.decide(1, 0.6, correct=True)
    shifted = calibrator_of(category_offsets={"general": 1.0})
    assert of_ledger(world, shifted).confidence[0] == pytest.approx(shifted.apply_one(0.6, "general"))
    assert of_ledger(world, shifted).confidence[0] > 0.75


def test_bands_on_the_lower_bound(world: Any, calibrator_of: Callable[..., Calibrator]) -> None:
    world.loaded = loading.parse(
        world.loaded.canonical.replace('"band_on":"calibrated"', '"band_on":"lower_bound"')
    )
    assert world.loaded.policy.models["leads"].band_on == "lower_bound"
    world.decide(1, 0.95, correct=True, lower_bound=0.91, policy_digest="sha256:none")
    assert of_ledger(world).confidence.tolist() == [0.91]


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
    found = of_ledger(world, versions=("v1",))
    assert dict(found.left_out) == {reason: 1}
    assert (len(found.sample), found.confidence.size) == (4, 4)
    assert found.elsewhere == pytest.approx(0.2)


def test_a_suspension_ends_so_that_its_answers_count(world: Any) -> None:
    hit = FloorHit(floor="suspension:x", reason=Reason.SUSPENDED, permitted=(Action.HOLD_FOR_REVIEW,))
    world.decide(1, 0.6, correct=True, floors=(hit,))
    assert len(of_ledger(world).sample) == 1


def test_a_group_counts_once(world: Any) -> None:
    for number in range(30):
        world.decide(number, 0.6, correct=True, group_key=f"g{number // 10}")
    found = of_ledger(world)
    assert len(found.sample) == 3
    assert dict(found.left_out) == {"beyond the one that each group may have": 27}


def test_where_the_chain_decides_no_cut_off_is_tried(world: Any) -> None:
    world.decide(1, 0.6, correct=True)
    world.decide(2, 0.65, source=AnswerSource.RULES, final_class="not_now")
    found = of_ledger(world)
    assert found.lowest == Decimal("0.6501")
    assert any("fallback chain" in note for note in found.notes)


def test_model_versions_are_not_pooled_unless_told_to(world: Any) -> None:
    world.decide(1, 0.6, correct=True)
    world.decide(2, 0.6, correct=True, model_version="v2")
    with pytest.raises(errors.RequestRefused, match=r"several model versions \(v1, v2\)"):
        of_ledger(world)
    assert len(of_ledger(world, pool=True).sample) == 2
    assert len(of_ledger(world, versions=("v2",)).sample) == 1


def test_a_ledger_without_the_model_or_the_calibrator(world: Any) -> None:
    with pytest.raises(errors.NotEnoughLabels, match="has no decision of model 'leads'"):
        of_ledger(world)
    world.decide(1, 0.6, correct=True, calibrator=None, calibrated_confidence=None)
    with pytest.raises(errors.RequestRefused, match="name it with --calibrator"):
        of_ledger(world)


def test_no_label_at_all(world: Any) -> None:
    world.decide(1, 0.6)
    with pytest.raises(errors.NotEnoughLabels, match="there is none"):
        of_ledger(world)

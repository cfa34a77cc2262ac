"""The material in a labelled file."""

from collections.abc import Callable

import numpy as np
import pytest

import calibrators
from calibrators import Calibrator
from sidecar.policy.model import Category, Model
from training import errors
from training.cut_offs import material
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


def test_rows_of_the_fits_window_are_pointed_out(simulate: Simulate) -> None:
    data = at(simulate(100), np.arange(100.0))
    first = data.take(np.arange(40))
    found = material.from_dataset(data, fitting.calibrator(fitting.fit("beta", first), first))
    assert "40 rows are no later than the last one" in found.notes[0]


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

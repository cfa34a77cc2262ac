"""What a calibrator carries beside its map, all together: document, dataset and words."""

import numpy as np
import pytest
from scipy import special

import calibrators
from training import errors
from training.data.dataset import Dataset
from training.fit import completion, fitting


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.default_rng(0)
    category = np.where(rng.random(3000) < 0.5, "Refunds ", "general")
    logit = rng.normal(1.5, 1.3, 3000)
    truth = special.expit(logit + np.where(category == "general", 0.8, -0.8))
    return Dataset.of(special.expit(logit), (rng.random(3000) < truth).astype(float), categories=category)


@pytest.fixture(scope="module")
def plain(data: Dataset) -> calibrators.Calibrator:
    return fitting.calibrator(fitting.fit("platt-logit", data), data)


def test_both_are_added_and_the_document_keeps_them(data: Dataset, plain: calibrators.Calibrator) -> None:
    complete = completion.complete(plain, data)
    assert set(complete.category_offsets) == {"general", "refunds"}
    assert complete.category_offsets["general"] > 0.3 > -0.3 > complete.category_offsets["refunds"]
    assert complete.lower is not None
    assert complete.lower.level == 0.95
    assert (complete.map, complete.fit, complete.histogram) == (plain.map, plain.fit, plain.histogram)
    assert calibrators.loads(calibrators.dumps(complete)) == complete
    assert complete.digest != plain.digest


def test_what_is_not_asked_for_is_not_there(data: Dataset, plain: calibrators.Calibrator) -> None:
    assert completion.complete(plain, data, offsets=False, lower=False) == plain
    assert completion.complete(plain, data, offsets=False).category_offsets == {}
    assert completion.complete(plain, data, lower=False).lower is None


def test_what_is_there_already_is_replaced(data: Dataset, plain: calibrators.Calibrator) -> None:
    once = completion.complete(plain, data)
    assert completion.complete(once, data) == once
    assert completion.complete(once, data, offsets=False, lower=False) == plain


def test_the_curve_is_of_the_shifted_confidences(data: Dataset, plain: calibrators.Calibrator) -> None:
    shifted = completion.complete(plain, data, lower=False)
    both = completion.complete(plain, data, level=0.9)
    assert both.lower is not None
    highest = float(data.confidence(shifted).max())
    assert both.lower.confidences[-1] == pytest.approx(highest, abs=0.01)
    assert both.lower.confidences[-1] > float(data.confidence(plain).max())


def test_the_words_say_what_it_carries(data: Dataset, plain: calibrators.Calibrator) -> None:
    offsets, lower = completion.description(completion.complete(plain, data), asked=True)
    assert "general +" in offsets
    assert "refunds -" in offsets
    assert "level 0.95): 0.50 is at least 0." in lower
    assert completion.description(plain, asked=False) == []
    (nothing,) = completion.description(plain, asked=True)
    assert nothing.startswith("No category offsets")


def test_categories_of_a_dataset(data: Dataset) -> None:
    assert data.categories is not None
    assert set(data.categories.tolist()) == {"general", "refunds"}
    assert data.take(data.correct > 0.5).categories is not None
    bare = Dataset.of(data.scores, data.correct)
    other = Dataset.of(data.scores, data.correct, categories=["general"] * 3000)
    assert len({data.digest, bare.digest, other.digest}) == 3
    with pytest.raises(errors.DataRefused, match="categories has shape"):
        Dataset.of([0.5, 0.6], [0, 1], categories=["a"])


def test_a_vector_temperature_is_completed_too() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0.0, 2.0, (2500, 4))
    category = np.where(rng.random(2500) < 0.5, "hard", "easy")
    sharp = np.where(category == "hard", 0.35, 1.0)[:, None]
    chances = special.softmax(logits * sharp, axis=1)
    labels = (chances.cumsum(axis=1) < rng.random(2500)[:, None]).sum(axis=1)
    data = Dataset.from_logits(logits, labels, categories=category)
    plain = fitting.calibrator(fitting.fit("temperature", data), data)
    assert plain.takes_vector
    complete = completion.complete(plain, data)
    assert complete.category_offsets["hard"] < 0.0 < complete.category_offsets["easy"]
    assert complete.lower is not None
    for row in range(0, 2500, 500):
        evidence = calibrators.Evidence("logits", tuple(logits[row].tolist()))
        assert complete.confidence(evidence, category[row]) == pytest.approx(
            data.confidence(complete)[row], abs=1e-12
        )

"""Category offsets: found where there is something to find, shrunken where there is little, absent otherwise."""

import numpy as np
import pytest
from scipy import special

import calibrators
from training.data.dataset import Dataset
from training.fit import completion, fitting, offsets
from training.measure import losses

NAMES = ("alpha", "beta", "gamma", "delta")


def simulate(
    n: int, effects: tuple[float, ...], *, seed: int = 0, shares: tuple[float, ...] | None = None
) -> tuple[Dataset, np.ndarray]:  # type: ignore[type-arg]
    """n answers in categories whose log-odds of being right differ by `effects`, and the true chances."""
    rng = np.random.default_rng(seed)
    category = rng.choice(len(effects), n, p=shares)
    logit = rng.normal(1.5, 1.3, n)
    truth = special.expit(0.7 * logit + np.array(effects)[category])
    data = Dataset.of(
        special.expit(logit),
        (rng.random(n) < truth).astype(float),
        categories=np.array(NAMES)[category],
    )
    return data, truth


def fitted(data: Dataset) -> calibrators.Calibrator:
    return fitting.calibrator(fitting.fit("platt-logit", data), data)


def cross_entropy(confidence: np.ndarray, truth: np.ndarray) -> float:  # type: ignore[type-arg]
    return float(-(truth * np.log(confidence) + (1.0 - truth) * np.log1p(-confidence)).mean())


def test_large_effects_are_recovered() -> None:
    data, _ = simulate(8000, (0.8, -0.8, 0.3, -0.3), seed=1)
    found = offsets.fit(fitted(data), data)
    assert sorted(found) == sorted(NAMES)
    # Against the global calibrator, so up to a common shift.
    differences = [found[name] - found["delta"] for name in NAMES]
    assert differences == pytest.approx([1.1, -0.5, 0.6, 0.0], abs=0.25)


def test_the_optimum_balances_residuals_against_the_penalty() -> None:
    data, _ = simulate(600, (0.8, -0.8, 0.3, -0.3), seed=2)
    logit = losses.logit(data.confidence(fitted(data)))
    assert data.categories is not None
    codes = np.unique(data.categories, return_inverse=True)[1]
    weights = np.linspace(0.5, 1.5, 600)
    solved = offsets._solve(logit, data.correct, weights, codes, 4, 0.4)
    for number in range(4):
        rows = codes == number
        residual = (weights * (data.correct - special.expit(logit + solved[number])))[rows].sum()
        assert residual == pytest.approx(solved[number] / 0.4**2, abs=1e-8)


def test_where_categories_do_not_differ_there_are_none_and_no_harm() -> None:
    found, gains = 0, []
    for seed in range(30):
        data, _ = simulate(800, (0.0, 0.0, 0.0, 0.0), seed=100 + seed)
        later, truth = simulate(4000, (0.0, 0.0, 0.0, 0.0), seed=200 + seed)
        plain = fitted(data)
        with_offsets = completion.complete(plain, data, lower=False)
        found += bool(with_offsets.category_offsets)
        gains.append(
            cross_entropy(later.confidence(plain), truth)
            - cross_entropy(later.confidence(with_offsets), truth)
        )
    assert found <= 6
    assert np.mean(gains) > -0.001


def test_where_they_differ_unseen_answers_gain() -> None:
    effects = (0.8, -0.8, 0.3, -0.3)
    gains = []
    for seed in range(10):
        data, _ = simulate(1500, effects, seed=300 + seed)
        later, truth = simulate(4000, effects, seed=400 + seed)
        plain = fitted(data)
        with_offsets = completion.complete(plain, data, lower=False)
        gains.append(
            cross_entropy(later.confidence(plain), truth)
            - cross_entropy(later.confidence(with_offsets), truth)
        )
    assert min(gains) >= 0.0
    assert np.mean(gains) > 0.01


def test_a_small_category_is_drawn_towards_the_global_calibrator() -> None:
    # alpha and beta alike in the truth; alpha has 40 labels, beta some 2,000.
    data, _ = simulate(4000, (1.0, 1.0, -1.0, 0.0), seed=5, shares=(0.01, 0.49, 0.3, 0.2))
    found = offsets.fit(fitted(data), data, minimum=10.0)
    assert found["beta"] > 0.0
    assert abs(found["alpha"]) < 1.5


def test_too_few_labels_give_a_category_nothing() -> None:
    data, _ = simulate(3000, (1.2, -1.0, -1.0, 0.9), seed=6, shares=(0.005, 0.4, 0.295, 0.3))
    found = offsets.fit(fitted(data), data)
    assert "alpha" not in found
    assert {"beta", "delta"} <= set(found)


def test_rows_of_one_group_are_one_label() -> None:
    data, _ = simulate(2000, (0.8, -0.8, 0.3, -0.3), seed=7)
    assert data.categories is not None
    grouped = Dataset.of(
        data.scores,
        data.correct,
        categories=data.categories,
        groups=np.arange(2000) // 40,  # 50 groups, and so at most some 50 labels in a category
    )
    assert offsets.fit(fitted(grouped), grouped, minimum=60.0) == {}
    assert offsets.fit(fitted(data), data, minimum=60.0) != {}


def test_nothing_without_categories_or_with_one_group() -> None:
    data, _ = simulate(500, (0.8, -0.8, 0.3, -0.3), seed=8)
    bare = Dataset.of(data.scores, data.correct)
    assert offsets.fit(fitted(bare), bare) == {}
    one = Dataset.of(data.scores, data.correct, categories=data.categories, groups=np.zeros(500))
    assert offsets.fit(fitted(one), one) == {}
    unnamed = Dataset.of(data.scores, data.correct, categories=[""] * 500)
    assert offsets.fit(fitted(unnamed), unnamed) == {}


def test_offsets_that_are_there_already_do_not_count_twice() -> None:
    data, _ = simulate(3000, (0.8, -0.8, 0.3, -0.3), seed=9)
    once = completion.complete(fitted(data), data, lower=False)
    assert once.category_offsets
    assert offsets.fit(once, data) == dict(once.category_offsets)


def test_a_slice_that_is_always_right_stays_finite_and_in_range() -> None:
    rng = np.random.default_rng(10)
    scores = rng.uniform(0.3, 0.7, 2000)
    category = np.where(np.arange(2000) < 1000, "sure", "other")
    correct = np.where(category == "sure", 1.0, (rng.random(2000) < 0.3).astype(float))
    data = Dataset.of(scores, correct, categories=category)
    found = offsets.fit(fitted(data), data)
    assert 1.0 < found["sure"] <= 5.0
    calibrators.loads(calibrators.dumps(completion.complete(fitted(data), data)))

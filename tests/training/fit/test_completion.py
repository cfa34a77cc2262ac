"""What a calibrator carries beside its map, all together: document, dataset and words."""

from typing import get_args

import numpy as np
import pytest
from scipy import special, stats

import calibrators
from tests.statistics import lower_curve as study
from tests.statistics.check import Effort
from training import errors
from training.data.dataset import Dataset
from training.fit import completion, fitting
from training.fit.fitting import CandidateKind


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


def simulate(n: int, *, seed: int = 0, groups: int = 0, weighted: bool = False) -> Dataset:
    rng = np.random.default_rng(seed)
    logit = rng.normal(2.0, 1.5, n)
    return Dataset.of(
        special.expit(logit),
        (rng.random(n) < special.expit((logit - 0.3) / 2.0)).astype(float),
        weights=np.where(rng.random(n) < 0.5, 1.0, 20.0) if weighted else None,
        groups=np.arange(n) // groups if groups else None,
    )


def fitted(kind: CandidateKind, data: Dataset) -> calibrators.Calibrator:
    return fitting.calibrator(fitting.fit(kind, data), data)


@pytest.mark.slow
def test_the_study_holds_in_its_quick_version() -> None:
    checks = study.run(Effort.QUICK)
    assert [f"{check.claim}: {check.measured}" for check in checks if not check.holds] == []
    assert len(checks) == len(study.QUICK_CASES) + 2


@pytest.mark.slow
def test_the_study_sees_a_curve_that_promises_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    right = completion.lower_curve
    monkeypatch.setattr(
        completion, "lower_curve", lambda *given, **named: right(*given, **{**named, "level": 0.6})
    )
    checks = study.run(Effort.QUICK)
    assert not any(check.holds for check in checks if "covers" in check.claim)


@pytest.mark.parametrize("kind", get_args(fitting.CandidateKind))
@pytest.mark.parametrize("n", [1, 3, 40, 400])
def test_any_kind_on_any_number_of_labels_gives_a_document_that_loads(kind: CandidateKind, n: int) -> None:
    data = simulate(n, seed=n)
    curve = completion.lower_curve(fitted(kind, data), data)
    calibrator = calibrators.Calibrator(map=fitted(kind, data).map, lower=curve)
    assert calibrators.loads(calibrators.dumps(calibrator)) == calibrator
    run = np.linspace(0.0, 1.0, 201)
    confidence = calibrator.apply(run)
    bound = curve.many(confidence, calibrator.epsilon)
    assert (bound <= confidence).all()
    assert (np.diff(bound) >= 0.0).all()


def test_the_identity_is_bounded_by_what_the_labels_say_of_it() -> None:
    # Raw scores of 0.95 are right some 80 % of the time here: no map was fitted, and yet it can be wrong.
    data = simulate(2000, seed=3)
    curve = completion.lower_curve(fitted("identity", data), data)
    truth = float(special.expit((special.logit(0.95) - 0.3) / 2.0))
    assert truth - 0.06 < curve.one(0.95, 1e-6) < truth


def test_few_labels_without_an_error_support_little() -> None:
    scores = np.linspace(0.8, 0.99, 20)
    data = Dataset.of(scores, np.ones(20))
    curve = completion.lower_curve(fitted("identity", data), data)
    assert curve.method == "beta_blocks"
    # Clopper and Pearson for 20 of 20 at one-sided 97.5 %.
    assert curve.bounds[-1] == pytest.approx(0.025 ** (1 / 20))
    assert curve.one(0.8, 1e-6) < curve.bounds[-1]


def test_blocks_are_clopper_and_pearson_where_weights_are_equal() -> None:
    scores = np.repeat([0.5, 0.9], [100, 200])
    correct = np.concatenate((np.repeat([1.0, 0.0], [40, 60]), np.repeat([1.0, 0.0], [180, 20])))
    data = Dataset.of(scores, correct)
    calibrator = fitted("isotonic", data)
    curve = completion.lower_curve(calibrator, data, level=0.9)
    for score, right, n in ((0.5, 40, 100), (0.9, 180, 200)):
        # Half of the error that the level leaves, since labels choose the blocks.
        expected = stats.beta.ppf(0.05, right, n - right + 1)
        # Korn and Graubard's variance takes one label off each block.
        assert curve.one(calibrator.apply_one(score), 1e-6) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("kind", ["platt-logit", "isotonic"])
def test_a_higher_level_and_groups_lower_it(kind: CandidateKind) -> None:
    rng = np.random.default_rng(4)
    scores, correct = np.repeat(rng.uniform(0.4, 0.99, 200), 10), np.repeat(rng.random(200) < 0.8, 10)
    plain = Dataset.of(scores, correct)
    grouped = Dataset.of(scores, correct, groups=np.repeat(np.arange(200), 10))
    calibrator = fitted(kind, plain)
    at = calibrator.apply_one(0.9)
    bound = completion.lower_curve(calibrator, plain).one(at, 1e-6)
    assert completion.lower_curve(calibrator, plain, level=0.99).one(at, 1e-6) < bound
    assert completion.lower_curve(calibrator, grouped).one(at, 1e-6) < bound - 0.02


def test_unequal_weights_widen_it() -> None:
    weighted = simulate(1000, seed=5, weighted=True)
    equal = Dataset.of(weighted.scores, weighted.correct)
    distances = []
    for data in (weighted, equal):
        calibrator = fitted("platt-logit", data)
        curve = completion.lower_curve(calibrator, data)
        distances.append(float(np.mean([q - curve.one(q, 1e-6) for q in (0.6, 0.7, 0.8, 0.9)])))
    # Half of the weights are 20 times the others: 1,000 labels are worth some 550.
    assert distances[0] == pytest.approx(distances[1] * np.sqrt(1000 / weighted.n_effective), rel=0.3)
    assert distances[0] > 1.1 * distances[1]


def test_the_seed_decides_the_bootstrap_and_the_scale_of_the_weights_nothing() -> None:
    data = simulate(400, seed=6)
    calibrator = fitted("platt-logit", data)
    assert completion.lower_curve(calibrator, data, seed=1) == completion.lower_curve(
        calibrator, data, seed=1
    )
    assert completion.lower_curve(calibrator, data, seed=1) != completion.lower_curve(
        calibrator, data, seed=2
    )
    scaled = Dataset.of(data.scores, data.correct, weights=np.full(400, 1000.0))
    curve, again = (completion.lower_curve(calibrator, each, seed=1) for each in (data, scaled))
    assert again.bounds == pytest.approx(curve.bounds, abs=1e-9)


def test_the_bootstrap_agrees_with_the_sandwich_of_large_samples() -> None:
    data = simulate(4000, seed=7)
    calibrator = fitted("platt-logit", data)
    curve = completion.lower_curve(calibrator, data, seed=1)
    x = special.logit(data.confidence(calibrator))
    design = np.column_stack((np.ones(4000), x))
    chance = special.expit(x)
    bread = np.linalg.inv((design * (chance * (1 - chance))[:, None]).T @ design)
    scores = design * (data.correct - chance)[:, None]
    spread = bread @ (scores.T @ scores) @ bread
    for q in (0.6, 0.8, 0.9):
        at = np.array([1.0, special.logit(q)])
        expected = special.expit(at[1] - special.ndtri(0.95) * np.sqrt(at @ spread @ at))
        assert curve.one(q, 1e-6) == pytest.approx(expected, abs=0.004)


def test_a_level_out_of_range_is_refused() -> None:
    data = simulate(100, seed=8)
    for level in (0.5, 1.0):
        with pytest.raises(calibrators.CalibratorRefused, match=r"lower\.level"):
            completion.lower_curve(fitted("platt-logit", data), data, level=level)

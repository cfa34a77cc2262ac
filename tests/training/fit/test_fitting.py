import warnings
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

import calibrators
from training.data.dataset import Dataset
from training.fit import fitting, logistic
from training.measure import binning, evaluation, intervals, isotonic, losses

Simulate = Callable[..., Dataset]


def residuals(dataset: Dataset, fitted: fitting.Fitted) -> np.ndarray:
    """Weighted mean residuals against Platt's targets, and against 1 and the two beta features."""
    weights = logistic.scaled_to_effective(dataset.weights)
    targets = logistic.platt_targets(dataset.correct, weights)
    clipped = np.clip(dataset.scores, 1e-6, 1 - 1e-6)
    features = np.column_stack(
        (np.ones(len(dataset)), special.logit(clipped), dataset.scores, np.log(clipped), np.log1p(-clipped))
    )
    error = fitting.confidence(fitted, dataset) - targets
    return np.asarray((weights / weights.sum() * error) @ features)


def test_binary_temperature_is_a_stationary_point(simulate: Simulate) -> None:
    data = simulate(3000, stretch=2.0, weighted=True)
    fitted = fitting.fit("temperature", data)
    assert isinstance(fitted.calibrator_map, calibrators.Temperature)
    assert 1.7 < fitted.calibrator_map.temperature < 2.4
    logits = special.logit(data.scores)
    error = special.expit(logits / fitted.calibrator_map.temperature) - data.correct
    assert abs(np.average(logits * error, weights=data.weights)) < 1e-8


def test_vector_temperature_is_a_stationary_point() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0.0, 3.0, (2000, 5))
    truths = np.array([rng.choice(5, p=row) for row in special.softmax(logits / 1.5, axis=1)])
    data = Dataset.from_logits(logits, truths, weights=rng.uniform(0.5, 4.0, 2000))
    fitted = fitting.fit("temperature", data)
    assert isinstance(fitted.calibrator_map, calibrators.VectorTemperature)
    assert 1.35 < fitted.calibrator_map.temperature < 1.65
    probabilities = special.softmax(logits / fitted.calibrator_map.temperature, axis=1)
    gradient = (probabilities * logits).sum(axis=1) - logits[np.arange(2000), truths]
    assert abs(np.average(gradient, weights=data.weights)) < 1e-8


def test_vector_temperature_with_unknown_truths_minimises_what_is_known() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0.0, 3.0, (1500, 4))
    truths = np.array([rng.choice(4, p=row) for row in special.softmax(logits / 2.0, axis=1)])
    answers = logits.argmax(axis=1)
    partly = np.where(truths == answers, truths, -1)
    solved = fitting.vector_temperature(logits, partly, answers, np.ones(1500))

    def loss(t: float) -> float:
        p = special.softmax(logits / t, axis=1)[np.arange(1500), answers]
        return float(losses.log_losses(p, (truths == answers).astype(float), 1e-12).mean())

    assert abs(solved.gradient) < 1e-8
    assert 1.8 < solved.temperature < 2.2
    assert loss(solved.temperature) < min(loss(solved.temperature * 1.02), loss(solved.temperature / 1.02))


@pytest.mark.parametrize("weighted", [False, True])
def test_affine_and_beta_residuals_are_orthogonal(simulate: Simulate, weighted: bool) -> None:
    data = simulate(2000, stretch=1.7, shift=0.4, weighted=weighted)
    assert np.abs(residuals(data, fitting.fit("platt-logit", data))[[0, 1]]).max() < 1e-8
    assert np.abs(residuals(data, fitting.fit("platt-raw", data))[[0, 2]]).max() < 1e-8
    beta = fitting.fit("beta", data).calibrator_map
    assert isinstance(beta, calibrators.Beta)
    assert min(beta.a, beta.b) > 0.0
    assert np.abs(residuals(data, fitting.fit("beta", data))[[0, 3, 4]]).max() < 1e-8


def test_beta_at_a_face_is_the_best_allowed(simulate: Simulate) -> None:
    rng = np.random.default_rng(4)
    scores = rng.uniform(0.02, 0.98, 3000)
    # Truth falls with ln s and rises with -ln(1 - s): the free optimum has a < 0.
    truth = special.expit(0.2 - 0.5 * np.log(scores) - 1.2 * np.log1p(-scores) - 1.0)
    data = Dataset.of(scores, rng.random(3000) < truth)
    fitted = fitting.fit("beta", data)
    assert isinstance(fitted.calibrator_map, calibrators.Beta)
    assert fitted.calibrator_map.a == 0.0
    assert fitted.calibrator_map.b > 0.0
    assert not fitted.uninformative
    error = residuals(data, fitted)
    assert np.abs(error[[0, 4]]).max() < 1e-8
    # At the face a larger a would not help: the loss rises with a.
    assert error[3] > 0.0


def test_isotonic_residual_is_zero_in_every_block(simulate: Simulate) -> None:
    data = simulate(1500, stretch=1.5, weighted=True)
    scores, outcomes, weights = fitting.with_pseudo_labels(data.scores, data.correct, data.weights)
    steps = isotonic.pool(scores, outcomes, weights)
    block = np.searchsorted(steps.first, scores, side="right") - 1
    sums = np.bincount(block, weights=weights * (outcomes - steps.at(scores)))
    assert np.abs(sums).max() < 1e-9
    assert np.all(np.diff(steps.level) > 0)
    assert steps.mass.sum() == pytest.approx(data.n_effective + 4)


def test_isotonic_adds_a_right_and_a_wrong_label_at_either_end() -> None:
    scores, correct, weights = (np.array(c) for c in ([0.9, 0.2, 0.5], [1.0, 0.0, 1.0], [30.0, 10.0, 20.0]))
    rows = fitting.with_pseudo_labels(scores, correct, weights)
    n_effective = 60.0**2 / 1400.0
    assert rows[2][:3] == pytest.approx(weights * n_effective / 60.0)
    added = sorted(zip(*(column[3:].tolist() for column in rows), strict=True))
    assert added == [(0.2, 0.0, 1.0), (0.2, 1.0, 1.0), (0.9, 0.0, 1.0), (0.9, 1.0, 1.0)]
    # By hand, with unit weights: 1 of 3 at the low end; the middle label pools with 2 of 3 at the high one.
    steps = isotonic.pool(*fitting.with_pseudo_labels(scores, correct, np.ones(3)))
    assert steps.level == pytest.approx([1 / 3, 3 / 4])
    assert steps.first.tolist() == [0.2, 0.5]


def test_parity_with_scikit_learn(simulate: Simulate) -> None:
    from sklearn.calibration import _sigmoid_calibration, _TemperatureScaling
    from sklearn.isotonic import IsotonicRegression

    data = simulate(2000, stretch=1.8, shift=0.3)
    for kind, feature in (("platt-logit", special.logit(data.scores)), ("platt-raw", data.scores)):
        a, b = _sigmoid_calibration(feature, data.correct)
        ours = fitting.fit(kind, data).calibrator_map
        assert isinstance(ours, calibrators.Platt)
        assert calibrators.Calibrator(map=ours).apply(data.scores) == pytest.approx(
            special.expit(-(a * feature + b)), abs=1e-6
        )
    logits = special.logit(data.scores)
    theirs = _TemperatureScaling().fit(logits, data.correct).beta_
    binary = fitting.fit("temperature", data).calibrator_map
    assert isinstance(binary, calibrators.Temperature)
    assert 2.0 * theirs == pytest.approx(1.0 / binary.temperature, abs=1e-6)
    weighted = simulate(2000, seed=5, stretch=1.8, weighted=True)
    weighted = Dataset.of(np.round(weighted.scores, 2), weighted.correct, weights=weighted.weights)
    scores, outcomes, weights = fitting.with_pseudo_labels(
        weighted.scores, weighted.correct, weighted.weights
    )
    oracle = IsotonicRegression(out_of_bounds="clip").fit(scores, outcomes, sample_weight=weights)
    ours = fitting.fit("isotonic", weighted).calibrator_map
    assert isinstance(ours, calibrators.Isotonic)
    assert ours.x == pytest.approx(oracle.X_thresholds_, abs=1e-12)
    assert ours.y == pytest.approx(oracle.y_thresholds_, abs=1e-9)
    grid = np.linspace(0.0, 1.0, 1001)
    assert calibrators.Calibrator(map=ours).apply(grid) == pytest.approx(oracle.predict(grid), abs=1e-6)


def test_vector_temperature_parity_with_scikit_learn(cifar: tuple[Dataset, Dataset]) -> None:
    from sklearn.calibration import _TemperatureScaling

    validation, _ = cifar
    assert validation.vectors is not None
    assert validation.truths is not None
    theirs = _TemperatureScaling().fit(validation.vectors, validation.truths.astype(float)).beta_
    solved = fitting.fit("temperature", validation).calibrator_map
    assert isinstance(solved, calibrators.VectorTemperature)
    assert 1.0 / solved.temperature == pytest.approx(float(theirs), abs=1e-6)


KINDS = st.sampled_from(get_args(fitting.CandidateKind))
SCORES = st.floats(0.0, 1.0) | st.sampled_from([0.0, 1.0, 0.5, 5e-324, 1 - 1e-16])


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    KINDS,
    st.lists(st.tuples(SCORES, st.booleans(), st.floats(1e-3, 1e3)), min_size=1, max_size=40),
)
def test_no_dataset_breaks_a_fit(kind: fitting.CandidateKind, rows: list[tuple[float, bool, float]]) -> None:
    scores, correct, weights = zip(*rows, strict=True)
    data = Dataset.of(scores, correct, weights=weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fitting.fit(kind, data)
        calibrator = fitting.calibrator(fitted, data)
        grid = np.unique(np.concatenate((data.scores, np.linspace(0.0, 1.0, 50))))
        confidence = calibrator.apply(grid)
    assert np.all((confidence >= 1e-6) & (confidence <= 1 - 1e-6))
    assert np.all(np.diff(confidence) >= 0.0)
    assert calibrators.loads(calibrators.dumps(calibrator)) == calibrator
    if kind == "isotonic":  # never 0 or 1, far from epsilon: two pseudo-labels at either end
        bound = 1.0 / (data.n_effective + 4.0)
        assert 0.99 * bound <= confidence.min()
        assert confidence.max() <= 1.0 - 0.99 * bound


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_the_scale_of_the_weights_does_not_matter(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random(100)
    correct = rng.random(100) < scores
    weights = rng.uniform(0.1, 5.0, 100)
    for kind in get_args(fitting.CandidateKind):
        once = fitting.fit(kind, Dataset.of(scores, correct, weights=weights))
        scaled = Dataset.of(scores, correct, weights=weights * scale)
        again = fitting.fit(kind, scaled)
        assert fitting.confidence(again, scaled) == pytest.approx(fitting.confidence(once, scaled), abs=1e-7)


def test_priors_count_against_the_effective_number_of_labels() -> None:
    """Platt's targets and isotonic's pseudo-labels are worth what they are worth beside n_eff labels, not sum w."""
    weights = np.r_[np.full(40, 20.0), np.full(60, 1.0)]
    correct = np.r_[np.ones(30), np.zeros(10), np.zeros(60)]
    effective = intervals.n_effective(weights)
    assert effective == pytest.approx(860.0**2 / (40 * 400.0 + 60))
    right = effective * 600.0 / 860.0
    wrong = effective - right
    target = (right * (right + 1) / (right + 2) + wrong / (wrong + 2)) / effective
    data = Dataset.of(np.full(100, 0.8), correct, weights=weights)
    for kind in ("platt-logit", "platt-raw", "beta"):
        assert fitting.confidence(fitting.fit(kind, data), data) == pytest.approx(target, abs=1e-9)
    level = (right + 2.0) / (effective + 4.0)
    assert fitting.confidence(fitting.fit("isotonic", data), data) == pytest.approx(level, abs=1e-12)


@pytest.mark.parametrize("kind", ["platt-logit", "platt-raw", "beta"])
def test_merging_equal_rows_changes_nothing(
    kind: fitting.CandidateKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    scores = rng.choice([0.2, 0.5, 0.8, 0.9, 0.99, 1.0], 3000)
    data = Dataset.of(scores, rng.random(3000) < scores**2, weights=rng.choice([1.0, 20.0], 3000))
    merged = fitting.confidence(fitting.fit(kind, data), data)
    monkeypatch.setattr(fitting, "MERGED_FROM", 10_000)
    assert merged == pytest.approx(fitting.confidence(fitting.fit(kind, data), data), abs=1e-9)


def test_an_inverted_score_falls_back_to_the_base_rate() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.3, 0.99, 1000)
    data = Dataset.of(scores, rng.random(1000) < 1.1 - scores)
    target = np.mean(logistic.platt_targets(data.correct, data.weights))
    for kind in ("platt-logit", "platt-raw", "beta"):
        fitted = fitting.fit(kind, data)
        assert fitted.uninformative
        assert "uninformative" in fitted.note
        assert fitting.confidence(fitted, data) == pytest.approx(target, abs=1e-9)
    flat = fitting.fit("temperature", data)
    assert flat.uninformative
    assert "bound" in flat.note
    assert fitting.confidence(flat, data) == pytest.approx(0.5, abs=0.01)
    good = Dataset.of(scores, rng.random(1000) < scores)
    assert not any(fitting.fit(kind, good).uninformative for kind in get_args(fitting.CandidateKind))


def test_constant_is_laplaces_rule() -> None:
    data = Dataset.of([0.1, 0.2, 0.3, 0.4], [1, 1, 1, 1])
    constant = fitting.fit("constant", data).calibrator_map
    assert isinstance(constant, calibrators.Constant)
    assert constant.value == pytest.approx(5 / 6)


def test_birth_certificate(simulate: Simulate) -> None:
    data = simulate(200, stretch=2.0, weighted=True)
    target = calibrators.AppliesTo(model="m", model_versions=("1",), evidence="score")
    made = fitting.calibrator(fitting.fit("beta", data), data, applies_to=target, note="why")
    assert made.applies_to == target
    assert made.fit is not None
    assert (made.fit.n, made.fit.data_digest, made.fit.note) == (200, data.digest, "why")
    assert made.fit.n_effective == pytest.approx(data.n_effective)
    assert made.fit.positives == pytest.approx(data.positives)
    assert made.histogram == calibrators.ScoreHistogram.of(data.scores, data.weights)


def golden_ece(confidence: np.ndarray, dataset: Dataset) -> float:
    return 100 * binning.bin_rows(confidence, dataset.correct, dataset.weights).ece


def test_golden_temperature_on_cifar(cifar: tuple[Dataset, Dataset]) -> None:
    validation, test = cifar
    assert golden_ece(test.scores, test) == pytest.approx(1.552, abs=5e-4)
    published = test.confidence(calibrators.Calibrator(map=calibrators.VectorTemperature(1.1)))
    assert golden_ece(published, test) == pytest.approx(0.95, abs=5e-3)
    fitted = fitting.fit("temperature", validation)
    assert isinstance(fitted.calibrator_map, calibrators.VectorTemperature)
    assert fitted.calibrator_map.temperature == pytest.approx(1.062584, abs=1e-5)
    assert golden_ece(fitting.confidence(fitted, test), test) == pytest.approx(0.972, abs=5e-4)
    assert test.vectors is not None
    assert test.truths is not None
    before, after = (
        -special.log_softmax(test.vectors / t, axis=1)[np.arange(len(test)), test.truths].mean()
        for t in (1.0, fitted.calibrator_map.temperature)
    )
    assert (round(float(before), 4), round(float(after), 4)) == (0.1755, 0.1738)


def test_golden_platt_and_isotonic_on_cifar(cifar: tuple[Dataset, Dataset]) -> None:
    validation, test = cifar
    platt = fitting.fit("platt-logit", validation)
    assert isinstance(platt.calibrator_map, calibrators.Platt)
    assert platt.calibrator_map.slope == pytest.approx(1.018568, abs=1e-6)
    assert platt.calibrator_map.intercept == pytest.approx(-0.490327, abs=1e-6)
    assert golden_ece(fitting.confidence(platt, test), test) == pytest.approx(0.855, abs=5e-4)
    # The published number is of plain isotonic regression; ours adds its pseudo-labels, and does no worse.
    x, y = isotonic.pool(validation.scores, validation.correct, validation.weights).knots
    plain = calibrators.Calibrator(map=calibrators.Isotonic(tuple(x), tuple(y)))
    assert golden_ece(test.confidence(plain), test) == pytest.approx(0.62, abs=1e-3)
    stepped = fitting.confidence(fitting.fit("isotonic", validation), test)
    assert golden_ece(stepped, test) < 0.62
    raw, after = (
        evaluation.evaluate(confidence, test.correct, seed=0, use_netcal=False)
        for confidence in (test.scores, stepped)
    )
    assert after.mcb < raw.mcb
    assert after.log_loss < raw.log_loss

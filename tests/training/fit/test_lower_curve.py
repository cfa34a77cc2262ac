"""The lower curve: covers, closes up, and never trusts what few labels cannot show."""

import numpy as np
import pytest
from scipy import special, stats

import calibrators
from tests.statistics import lower_curve as study
from tests.statistics.check import Effort
from training.data.dataset import Dataset
from training.fit import fitting, lower_curve
from training.fit.fitting import CandidateKind


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


def test_the_study_holds_in_its_quick_version() -> None:
    checks = study.run(Effort.QUICK)
    assert [f"{check.claim}: {check.measured}" for check in checks if not check.holds] == []
    assert len(checks) == len(study.QUICK_CASES) + 2


def test_the_study_sees_a_curve_that_promises_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    right = lower_curve.fit
    monkeypatch.setattr(lower_curve, "fit", lambda *given, **named: right(*given, **{**named, "level": 0.6}))
    checks = study.run(Effort.QUICK)
    assert not any(check.holds for check in checks if "covers" in check.claim)


@pytest.mark.parametrize("kind", fitting.CANDIDATE_KINDS)
@pytest.mark.parametrize("n", [1, 3, 40, 400])
def test_any_kind_on_any_number_of_labels_gives_a_document_that_loads(kind: CandidateKind, n: int) -> None:
    data = simulate(n, seed=n)
    curve = lower_curve.fit(fitted(kind, data), data)
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
    curve = lower_curve.fit(fitted("identity", data), data)
    truth = float(special.expit((special.logit(0.95) - 0.3) / 2.0))
    assert truth - 0.06 < curve.one(0.95, 1e-6) < truth


def test_few_labels_without_an_error_support_little() -> None:
    scores = np.linspace(0.8, 0.99, 20)
    data = Dataset.of(scores, np.ones(20))
    curve = lower_curve.fit(fitted("identity", data), data)
    assert curve.method == "beta_blocks"
    # Clopper and Pearson for 20 of 20 at one-sided 97.5 %.
    assert curve.bounds[-1] == pytest.approx(0.025 ** (1 / 20))
    assert curve.one(0.8, 1e-6) < curve.bounds[-1]


def test_blocks_are_clopper_and_pearson_where_weights_are_equal() -> None:
    scores = np.repeat([0.5, 0.9], [100, 200])
    correct = np.concatenate((np.repeat([1.0, 0.0], [40, 60]), np.repeat([1.0, 0.0], [180, 20])))
    data = Dataset.of(scores, correct)
    calibrator = fitted("isotonic", data)
    curve = lower_curve.fit(calibrator, data, level=0.9)
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
    bound = lower_curve.fit(calibrator, plain).one(at, 1e-6)
    assert lower_curve.fit(calibrator, plain, level=0.99).one(at, 1e-6) < bound
    assert lower_curve.fit(calibrator, grouped).one(at, 1e-6) < bound - 0.02


def test_unequal_weights_widen_it() -> None:
    weighted = simulate(1000, seed=5, weighted=True)
    equal = Dataset.of(weighted.scores, weighted.correct)
    distances = []
    for data in (weighted, equal):
        calibrator = fitted("platt-logit", data)
        curve = lower_curve.fit(calibrator, data)
        distances.append(float(np.mean([q - curve.one(q, 1e-6) for q in (0.6, 0.7, 0.8, 0.9)])))
    # Half of the weights are 20 times the others: 1,000 labels are worth some 550.
    assert distances[0] == pytest.approx(distances[1] * np.sqrt(1000 / weighted.n_effective), rel=0.3)
    assert distances[0] > 1.1 * distances[1]


def test_the_seed_decides_the_bootstrap_and_the_scale_of_the_weights_nothing() -> None:
    data = simulate(400, seed=6)
    calibrator = fitted("platt-logit", data)
    assert lower_curve.fit(calibrator, data, seed=1) == lower_curve.fit(calibrator, data, seed=1)
    assert lower_curve.fit(calibrator, data, seed=1) != lower_curve.fit(calibrator, data, seed=2)
    scaled = Dataset.of(data.scores, data.correct, weights=np.full(400, 1000.0))
    curve, again = (lower_curve.fit(calibrator, each, seed=1) for each in (data, scaled))
    assert again.bounds == pytest.approx(curve.bounds, abs=1e-9)


def test_the_bootstrap_agrees_with_the_sandwich_of_large_samples() -> None:
    data = simulate(4000, seed=7)
    calibrator = fitted("platt-logit", data)
    curve = lower_curve.fit(calibrator, data, seed=1)
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
            lower_curve.fit(fitted("platt-logit", data), data, level=level)

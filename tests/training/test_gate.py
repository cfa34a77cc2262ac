from typing import Any

import numpy as np
import pytest
from scipy import special

from training import bands, errors, gate, intervals

BANDS = bands.DEFAULTS


def world(
    n: int, *, seed: int, error: float = 0.0, copies: int = 1, weighted: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """True chance, a champion `error` logits too sure, labels, weights and groups, each row in `copies`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(2.0, 1.5, n)
    correct = (rng.random(n) < special.expit(logits)).astype(float)
    weights = np.where(rng.random(n) < 0.5, 1.0, 20.0) if weighted else np.ones(n)
    parts = (special.expit(logits), special.expit(logits + error), correct, weights, np.arange(n))
    truth, champion, outcome, mass, groups = (np.repeat(part, copies) for part in parts)
    return truth, champion, outcome, mass, groups


def codes(verdict: gate.Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_accepts_a_real_improvement() -> None:
    truth, champion, correct, weights, _ = world(1000, seed=0, error=1.0)
    verdict = gate.judge(champion, truth, correct, weights, bands=BANDS)
    assert verdict.accept
    assert codes(verdict) == ["IMPROVED", "ROUTING_SHIFT"]
    improvement = verdict.statistics["improvement"]
    assert 0.0 < verdict.statistics["improvement_bound"] < improvement
    assert improvement == pytest.approx(
        verdict.statistics["champion_log_loss"] - verdict.statistics["challenger_log_loss"]
    )
    assert "1000 labels" in verdict.reasons[0].text


@pytest.mark.parametrize(("n", "least"), [(300, 0.6), (1000, 0.95)])
def test_power_against_one_logit(n: int, least: float) -> None:
    accepted = 0
    for seed in range(100):
        truth, champion, correct, weights, _ = world(n, seed=seed, error=1.0)
        accepted += gate.judge(champion, truth, correct, weights).accept
    assert accepted / 100 >= least


@pytest.mark.parametrize("weighted", [False, True])
def test_keeps_the_champion_on_noise(weighted: bool) -> None:
    """Two equally wrong calibrators: at most about one challenger in twenty gets through."""
    accepted = 0
    for seed in range(400):
        rng = np.random.default_rng(10_000 + seed)
        truth, _, correct, weights, _ = world(300, seed=seed, weighted=weighted)
        noise = rng.normal(0.0, 0.7, 300)
        champion, challenger = (special.expit(special.logit(truth) + sign * noise) for sign in (1, -1))
        accepted += gate.judge(champion, challenger, correct, weights).accept
    assert accepted / 400 <= 0.085  # 5 % and three standard errors


def test_clusters_are_not_counted_as_many_labels() -> None:
    """Each label in 25 copies: blind to it, noise passes far too often; clustered, it does not."""
    blind, aware = 0, 0
    for seed in range(150):
        rng = np.random.default_rng(20_000 + seed)
        truth, _, correct, weights, groups = world(60, seed=seed, copies=25)
        noise = np.repeat(rng.normal(0.0, 0.7, 60), 25)
        champion, challenger = (special.expit(special.logit(truth) + sign * noise) for sign in (1, -1))
        blind += gate.judge(champion, challenger, correct, weights).accept
        aware += gate.judge(champion, challenger, correct, weights, groups).accept
    assert aware / 150 <= 0.11
    assert blind / 150 >= 0.25


def test_a_worse_and_an_equal_challenger_are_kept_out() -> None:
    truth, champion, correct, weights, _ = world(1000, seed=1, error=1.0)
    worse = gate.judge(truth, champion, correct, weights, bands=BANDS)
    assert not worse.accept
    assert worse.statistics["improvement"] < 0.0
    equal = gate.judge(truth, truth, correct, weights, bands=BANDS)
    assert not equal.accept
    assert codes(equal) == ["NOT_IMPROVED", "ROUTING_SHIFT"]
    assert equal.statistics["improvement"] == 0.0
    assert equal.statistics["band_changed"] == 0.0


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        (slice(0, 0), None),
        (slice(0, 29), None),
        (slice(0, 1000), np.arange(1000) % 20),
    ],
)
def test_too_few_labels_are_no_evidence(rows: slice, groups: np.ndarray | None) -> None:
    truth, champion, correct, weights, _ = world(1000, seed=2, error=3.0)
    parts = (champion[rows], truth[rows], correct[rows], weights[rows])
    verdict = gate.judge(*parts, None if groups is None else groups[rows], bands=BANDS)
    assert not verdict.accept
    assert codes(verdict)[0] == "TOO_FEW_LABELS"
    assert verdict.reasons[0].blocking
    assert all(np.isfinite(value) for value in verdict.statistics.values())


def test_too_few_errors_are_no_evidence() -> None:
    correct = np.r_[np.zeros(4), np.ones(996)]
    verdict = gate.judge(np.full(1000, 0.7), np.full(1000, 0.99), correct, bands=BANDS)
    assert codes(verdict)[0] == "TOO_FEW_LABELS"
    assert "4 incorrect" in verdict.reasons[0].text
    assert gate.judge(np.full(1000, 0.7), np.full(1000, 0.99), np.r_[0.0, correct[:-1]]).accept


def test_a_better_log_loss_does_not_excuse_a_broken_promise() -> None:
    # The champion keeps everything below the automatic bands; the challenger is far better on the whole,
    # but lifts a group that is right 80 % of the time over 0.90.
    rng = np.random.default_rng(3)
    part = np.arange(2000) < 400
    correct = (rng.random(2000) < np.where(part, 0.80, 0.30)).astype(float)
    champion = np.where(part, 0.55, 0.60)
    challenger = np.where(part, 0.91, 0.30)
    verdict = gate.judge(champion, challenger, correct, bands=BANDS)
    assert codes(verdict)[:2] == ["IMPROVED", "BAND_PROMISE_BROKEN"]
    assert not verdict.accept
    broken = verdict.reasons[1]
    assert broken.blocking
    assert "band auto promises 0.90" in broken.text
    assert "400 labels" in broken.text
    estimate = intervals.weighted_mean(correct[part], np.ones(400))
    assert verdict.statistics["challenger_accuracy_auto"] == pytest.approx(estimate.mean)
    assert verdict.statistics["challenger_accuracy_high_auto"] == pytest.approx(
        intervals.korn_graubard(estimate)[1]
    )
    assert gate.judge(champion, challenger, correct).accept  # without bands there are no promises


def test_a_promise_that_the_champion_breaks_too_does_not_block() -> None:
    rng = np.random.default_rng(4)
    correct = (rng.random(2000) < 0.75).astype(float)
    verdict = gate.judge(np.full(2000, 0.999), np.full(2000, 0.92), correct, bands=BANDS)
    assert verdict.accept
    assert "BAND_PROMISE_STILL_BROKEN" in codes(verdict)
    assert "the champion breaks it too" in next(r.text for r in verdict.reasons if "STILL" in r.code)


def test_a_band_slightly_below_its_promise_is_within_its_interval() -> None:
    correct = np.r_[np.zeros(12), np.ones(88)]
    rng = np.random.default_rng(5)
    champion = rng.uniform(0.3, 0.5, 100)
    verdict = gate.judge(champion, np.full(100, 0.9), correct, bands=BANDS)
    assert verdict.statistics["challenger_accuracy_auto"] == pytest.approx(0.88)
    assert verdict.accept


def test_an_empty_band_is_said() -> None:
    truth, champion, correct, weights, _ = world(500, seed=6, error=1.5)
    capped = np.minimum(truth, 0.89)
    verdict = gate.judge(champion, capped, correct, weights, bands=BANDS)
    assert "BAND_WITHOUT_LABELS" in codes(verdict)


def test_routing_shift_is_counted_by_weight() -> None:
    correct = np.tile([1.0, 0.0, 1.0, 1.0], 50)
    champion = np.tile([0.95, 0.95, 0.6, 0.3], 50)
    challenger = np.tile([0.95, 0.6, 0.75, 0.3], 50)
    weights = np.tile([1.0, 2.0, 3.0, 4.0], 50)
    verdict = gate.judge(champion, challenger, correct, weights, bands=BANDS)
    assert verdict.statistics["band_changed"] == pytest.approx(0.5)
    assert verdict.statistics["automatic_before"] == pytest.approx(0.3)
    assert verdict.statistics["automatic_after"] == pytest.approx(0.4)
    assert "50.0%" in verdict.reasons[-1].text


def test_without_a_champion_the_raw_confidence_stands_in() -> None:
    truth, raw, correct, weights, _ = world(1000, seed=7, error=1.0)
    verdict = gate.judge(None, truth, correct, weights, bands=BANDS, raw_confidence=raw)
    assert verdict.accept
    assert "of the raw confidence" in verdict.reasons[0].text
    with pytest.raises(errors.RequestRefused, match="raw confidence"):
        gate.judge(None, truth, correct, weights)


def test_confidences_of_0_and_1_have_finite_losses() -> None:
    truth, _, correct, _, _ = world(500, seed=8)
    verdict = gate.judge(np.round(truth), truth, correct, bands=BANDS)
    assert verdict.accept
    assert all(np.isfinite(value) for value in verdict.statistics.values())


@pytest.mark.parametrize(
    ("confidence", "names"),
    [
        (1.0, "auto"),
        (0.9, "auto"),
        (np.nextafter(0.9, 0), "flagged"),
        (0.7, "flagged"),
        (0.5, "hold"),
        (0.0, "reject"),
    ],
)
def test_bands_are_closed_below_and_open_above(confidence: float, names: str) -> None:
    (position,) = bands.place(BANDS, np.array([confidence]))
    assert BANDS[position].name == names


def test_a_gap_between_bands_is_refused() -> None:
    gap: Any = (BANDS[0], BANDS[2], BANDS[3])
    with pytest.raises(errors.RequestRefused, match=r"0\.8"):
        bands.place(gap, np.array([0.95, 0.8]))

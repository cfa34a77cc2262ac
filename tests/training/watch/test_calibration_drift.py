import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.statistics import paths
from training import errors
from training.watch.calibration_drift import OFFSETS, CalibrationDrift

CONFIDENCES = st.floats(0.0, 1.0)
LABELS = st.lists(st.tuples(st.booleans(), st.floats(0.01, 0.99)), min_size=1, max_size=50)


def fed(labels: list[tuple[bool, float]], state: CalibrationDrift | None = None) -> CalibrationDrift:
    state = state or CalibrationDrift()
    for outcome, confidence in labels:
        state = state.updated(outcome, confidence)
    return state


def test_bets_on_outcome_minus_confidence_within_the_admissible_range() -> None:
    """E *= 1 + lambda (y - p), by hand: the likelihood ratio is such a bet."""
    for outcome, p in ((True, 0.9), (False, 0.9), (True, 0.2), (False, 0.2)):
        factors = []
        for offset in OFFSETS:
            bet = math.expm1(offset) / (1.0 + p * math.expm1(offset))
            assert -1.0 / (1.0 - p) < bet < 1.0 / p
            factors.append(1.0 + bet * (outcome - p))
        assert math.exp(CalibrationDrift().updated(outcome, p).log_e) == pytest.approx(np.mean(factors))


@given(labels=LABELS, confidence=CONFIDENCES)
def test_expects_no_growth_from_a_label_that_its_confidence_describes(
    labels: list[tuple[bool, float]], confidence: float
) -> None:
    """Enumerates the next label, also at confidences of exactly 0 and 1."""
    state = fed(labels)
    right, wrong = state.updated(True, confidence), state.updated(False, confidence)
    grown = confidence * math.exp(right.log_e - state.log_e) + (1.0 - confidence) * math.exp(
        wrong.log_e - state.log_e
    )
    assert grown == pytest.approx(1.0, abs=1e-9)
    expected = confidence * math.exp(right.log_statistic) + (1.0 - confidence) * math.exp(wrong.log_statistic)
    assert expected == pytest.approx(math.exp(state.log_statistic) + 1.0, rel=1e-9)


@given(before=LABELS, after=LABELS)
def test_a_path_is_one_update_after_another_from_any_state(
    before: list[tuple[bool, float]], after: list[tuple[bool, float]]
) -> None:
    state = fed(before)
    outcomes, confidences = zip(*after, strict=True)
    evidence = paths.drift(state, [outcomes] * 2, [confidences] * 2)
    statistic = paths.drift_change(state, [outcomes] * 2, [confidences] * 2)
    for step, (outcome, confidence) in enumerate(after):
        state = state.updated(outcome, confidence)
        assert evidence[:, step] == pytest.approx([state.log_e] * 2, abs=1e-9)
        assert statistic[:, step] == pytest.approx([state.log_statistic] * 2, abs=1e-9)


@given(labels=LABELS, seed=st.integers(0, 99))
def test_the_order_of_the_labels_does_not_matter_to_the_e_process(
    labels: list[tuple[bool, float]], seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(labels))
    assert fed([labels[k] for k in order]).log_e == pytest.approx(fed(labels).log_e, abs=1e-9)


@given(labels=LABELS)
def test_the_state_survives_json(labels: list[tuple[bool, float]]) -> None:
    for state in (CalibrationDrift(), fed(labels)):
        stored = json.loads(json.dumps(dataclasses.asdict(state), allow_nan=False))
        assert CalibrationDrift(**stored) == state


@given(labels=LABELS)
def test_both_sides_are_alike(labels: list[tuple[bool, float]]) -> None:
    """Wrong for right and 1 - p for p is the same evidence, on the other side."""
    mirrored = fed([(not outcome, 1.0 - confidence) for outcome, confidence in labels])
    state = fed(labels)
    assert mirrored.log_e == pytest.approx(state.log_e, abs=1e-9)
    assert mirrored.log_statistic == pytest.approx(state.log_statistic, abs=1e-9)


def test_says_which_side_it_is_and_by_how_much() -> None:
    assert CalibrationDrift().log_e == 0.0
    assert CalibrationDrift().log_statistic == -math.inf
    over = fed([(k % 4 != 0, 0.95) for k in range(200)])
    assert over.direction == "overconfident"
    assert over.gap_sum / over.labels == pytest.approx(0.20)
    assert over.log_e > math.log(1e6)
    under = fed([(True, 0.8)] * 100)
    assert under.direction == "underconfident"
    assert under.gap_sum / under.labels == pytest.approx(-0.20)
    assert under.log_e > math.log(1e3)


def test_a_certain_confidence_that_is_wrong_is_finite_evidence() -> None:
    state = CalibrationDrift()
    assert state.updated(True, 1.0).log_e == 0.0
    assert state.updated(False, 0.0).log_e == 0.0
    assert 0.0 < state.updated(False, 1.0).log_e < 1.0
    assert fed([(False, 1.0)] * 20).log_e > math.log(20.0)


def test_a_steady_error_below_an_eighth_of_a_logit_is_left_alone() -> None:
    rng = np.random.default_rng(11)
    confidence = np.full((5, 100_000), 0.8)
    for shift, found in ((0.08, False), (0.2, True)):
        truth = 1.0 / (1.0 + math.exp(-(math.log(4.0) - shift)))
        evidence = paths.drift(CalibrationDrift(), rng.random(confidence.shape) < truth, confidence)[:, -1]
        assert bool((evidence > math.log(20.0)).all() if found else (evidence < 0.0).all())


@pytest.mark.parametrize("confidence", [-0.01, 1.01, math.nan, math.inf])
def test_refuses_what_is_no_confidence(confidence: float) -> None:
    with pytest.raises(errors.DataRefused, match="confidence"):
        CalibrationDrift().updated(True, confidence)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(errors.DataRefused, match="outcome"):
        CalibrationDrift().updated(0.7, 0.5)
    state = fed([(True, 0.9)])
    for wrong in (
        {"log_bets": (0.0,)},
        {"log_sums": (0.0,) * 5},
        {"log_bets": (math.nan,) * 6},
        {"log_sums": (-1.0,) * 6},
        {"labels": -1},
        {"gap_sum": math.inf},
        {"offsets": (-1.0, -0.5, -0.25, 0.25, 0.5, 2.0)},
        {"offsets": (), "log_bets": (), "log_sums": ()},
    ):
        with pytest.raises(errors.RequestRefused):
            dataclasses.replace(state, **wrong)

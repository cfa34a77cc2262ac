"""A challenge: what fits, what judges, and what is said about it."""

from typing import Any

import numpy as np
import pytest

import calibrators
from sidecar.policy import model as policy_model
from training import errors
from training.data.dataset import Dataset
from training.retraining import challenge

START = 1_790_000_000.0
ENTRY = policy_model.Model.model_validate({"calibrator": "models:/any@champion", "evidence": "score"})
APPLIES = calibrators.AppliesTo(model="leads", model_versions=None, evidence="score")


def world(n: int, *, seed: int = 0, stretch: float = 2.5, begin: float = 0.0) -> Dataset:
    """n overconfident answers, one a second."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(1.5, 1.5, n)
    truth = 1.0 / (1.0 + np.exp(-logits / stretch))
    return Dataset.of(
        1.0 / (1.0 + np.exp(-logits)),
        rng.random(n) < truth,
        groups=np.arange(n) + int(begin),
        times=START + begin + np.arange(n),
        categories=["general"] * n,
    )


def champion(window_to: str | None, calibrator_map: calibrators.Map | None = None) -> calibrators.Calibrator:
    fit = calibrators.Fit(
        n=100,
        n_effective=100.0,
        positives=0.7,
        distinct=90,
        window_from="2026-01-01T00:00:00Z",
        window_to=window_to,
        data_digest=None,
        note="",
    )
    return calibrators.Calibrator(map=calibrator_map or calibrators.Identity(), applies_to=APPLIES, fit=fit)


def run(data: Dataset, held: calibrators.Calibrator | None = None, **changes: Any) -> challenge.Challenge:
    return challenge.challenge(data, held, entry=ENTRY, applies_to=APPLIES, **changes)


def codes(made: challenge.Challenge) -> list[str]:
    return [reason.code for reason in made.verdict.reasons]


def times(data: Dataset) -> np.ndarray:
    assert data.times is not None
    return data.times - START


def test_the_challenger_is_fitted_to_the_earlier_labels_only() -> None:
    made = run(world(1000))
    assert times(made.fit_on).max() < times(made.judge_on).min()
    assert (len(made.fit_on), len(made.judge_on)) == (700, 300)
    assert made.challenger.fit is not None
    assert made.challenger.fit.n == 700
    assert made.challenger.fit.data_digest == made.fit_on.digest
    assert made.verdict.accept
    np.testing.assert_array_equal(made.reference, made.judge_on.scores)


def test_labels_from_before_the_end_of_the_champions_fit_do_not_judge() -> None:
    data = world(1000)
    # The champion saw the first 900 seconds, which is later than 70 % of the labels.
    until = champion(_rfc3339(START + 899.0))
    made = run(data, until)
    assert times(made.judge_on).min() == 900.0
    assert (len(made.fit_on), len(made.judge_on)) == (900, 100)
    assert "LABELS_SET_ASIDE" in codes(made)
    assert "200 labels" in next(each.text for each in made.verdict.reasons if each.code == "LABELS_SET_ASIDE")
    # One that saw only what the challenger saw, too, takes nothing from the judges.
    early = run(data, champion(_rfc3339(START + 600.0)))
    assert len(early.judge_on) == 300
    assert "LABELS_SET_ASIDE" not in codes(early)


def test_a_champion_that_saw_every_label_cannot_be_judged() -> None:
    with pytest.raises(errors.NotEnoughLabels, match="later than the labels that the champion was fitted to"):
        run(world(1000), champion(_rfc3339(START + 999.0)))


@pytest.mark.parametrize("held", [champion(None), calibrators.Calibrator(map=calibrators.Identity())])
def test_a_champion_without_a_window_is_judged_and_that_is_said(held: calibrators.Calibrator) -> None:
    made = run(world(1000), held)
    assert "CHAMPION_WINDOW_UNKNOWN" in codes(made)
    assert len(made.judge_on) == 300
    assert made.verdict.accept, "it informs, and does not block"


def test_a_champion_that_learned_the_judging_labels_by_heart_has_no_advantage() -> None:
    """With the window respected a champion's own labels are no test; without, it wins on what it memorised."""
    data = world(400, seed=3)
    order = np.argsort(data.scores)
    x = tuple(data.scores[order].tolist())
    y = tuple(np.maximum.accumulate(np.linspace(0.02, 0.98, len(x))).tolist())
    memorised = calibrators.Isotonic(x, y)
    made = run(data, champion(_rfc3339(START + 339.0), memorised))
    assert times(made.judge_on).min() == 340.0
    assert made.verdict.statistics["n"] == 60.0


def test_labels_that_nobody_drew_may_train_and_never_judge() -> None:
    drawn, others = world(1000), world(2000, seed=1, begin=-500.0)
    made = run(drawn, undrawn=others)
    # The earlier ones, from before the first label that judges.
    assert len(made.fit_on) == 700 + 1200
    assert made.challenger.fit is not None
    assert made.challenger.fit.n == 1900
    assert len(made.judge_on) == 300
    alone = run(drawn)
    assert made.judge_on.digest == alone.judge_on.digest
    assert made.challenger.digest != alone.challenger.digest
    assert codes(made)[-1] == "UNDRAWN_LABELS"
    assert "UNDRAWN_LABELS" not in codes(alone)


def test_an_uninformative_score_is_said() -> None:
    rng = np.random.default_rng(2)
    scores = rng.uniform(0.5, 0.99, 1000)
    correct = rng.random(1000) < 1.3 - scores  # the surer, the worse
    made = run(Dataset.of(scores, correct, times=START + np.arange(1000)))
    assert made.chosen.uninformative
    assert "SCORE_UNINFORMATIVE" in codes(made)
    assert not made.verdict.accept, "a base rate as first calibrator lets everything act, or nothing"
    confidence = made.challenger.apply([0.55, 0.75, 0.95])
    assert np.ptp(confidence) == 0.0, "it answers the base rate"
    assert confidence[0] == pytest.approx(correct[:700].mean(), abs=0.02)


def test_the_lower_curve_is_there_where_bands_are_cut_on_it() -> None:
    on_bound = ENTRY.model_copy(update={"band_on": "lower_bound"})
    data = world(600)
    with_curve = challenge.challenge(data, None, entry=on_bound, applies_to=APPLIES)
    assert with_curve.challenger.lower is not None
    assert run(data).challenger.lower is None


def test_a_category_that_is_worth_less_gets_an_offset() -> None:
    rng = np.random.default_rng(6)
    n = 4000
    logits = rng.normal(1.5, 1.0, n)
    category = np.where(np.arange(n) % 2 == 0, "refunds", "general")
    truth = 1.0 / (1.0 + np.exp(-(logits - np.where(category == "refunds", 1.5, 0.0))))
    data = Dataset.of(
        1.0 / (1.0 + np.exp(-logits)),
        rng.random(n) < truth,
        times=START + np.arange(n),
        categories=category,
    )
    made = run(data)
    offsets = made.challenger.category_offsets
    assert offsets["refunds"] < -0.5 < offsets["general"]
    secondary = calibrators.AppliesTo(
        model="leads", model_versions=None, source="secondary", evidence="score"
    )
    other = challenge.challenge(data, None, entry=ENTRY, applies_to=secondary)
    assert not other.challenger.category_offsets


def test_datasets_are_joined_only_if_they_are_alike() -> None:
    first, second = world(10), world(5, seed=1)
    both = first.joined(second)
    assert len(both) == 15
    assert both.scores.tolist() == [*first.scores, *second.scores]
    assert both.times is not None
    with pytest.raises(errors.DataRefused, match="different evidence"):
        first.joined(Dataset.of([0.9], [1.0], evidence="logits"))
    with pytest.raises(errors.DataRefused, match="groups"):
        first.joined(Dataset.of([0.9], [1.0]))


def _rfc3339(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

import json
from collections.abc import Callable

import numpy as np
import pytest

from training import errors
from training.data.dataset import Dataset
from training.fit import selection
from training.measure import evaluation, intervals, losses

Simulate = Callable[..., Dataset]


def row(found: selection.Selection, kind: str) -> selection.CandidateScore:
    return next(candidate for candidate in found.candidates if candidate.kind == kind)


def test_a_calibrated_score_is_left_alone(simulate: Simulate) -> None:
    found = selection.select(simulate(2000, seed=1))
    assert found.kind == "identity"
    assert [candidate.kind for candidate in found.candidates] == list(selection.RANK)


def test_an_overconfident_score_is_recalibrated_by_the_simplest_that_does(simulate: Simulate) -> None:
    found = selection.select(simulate(3000, seed=2, stretch=3.0))
    assert found.kind == "temperature"
    assert row(found, "identity").difference > 3 * row(found, "identity").difference_standard_error


def test_a_shifted_score_needs_more_than_temperature(simulate: Simulate) -> None:
    found = selection.select(simulate(4000, seed=3, shift=2.0))
    assert found.kind in ("platt-logit", "platt-raw")
    assert row(found, "temperature").log_loss > row(found, found.kind).log_loss


def test_a_staircase_needs_isotonic() -> None:
    rng = np.random.default_rng(4)
    scores = rng.choice([0.50, 0.60, 0.70, 0.80, 0.90], 6000)
    # Stated confidence that jumps: nothing below 0.8 means much, all above is as good as certain.
    found = selection.select(Dataset.of(scores, rng.random(6000) < np.where(scores < 0.75, 0.2, 0.97)))
    assert found.kind == "isotonic"
    assert found.best == "isotonic"


def test_three_quarters_of_a_paired_standard_error_by_hand(simulate: Simulate) -> None:
    data = simulate(1500, seed=5, stretch=1.5, group_size=3, weighted=True)
    found = selection.select(data, seed=7)
    ran = [candidate for candidate in found.candidates if not candidate.excluded]
    for candidate in ran:
        assert candidate.out_of_fold is not None
        loss = losses.log_losses(candidate.out_of_fold, data.correct)
        by_hand = intervals.weighted_mean(loss, data.weights, data.groups)
        assert candidate.log_loss == pytest.approx(by_hand.mean)
        assert candidate.standard_error == pytest.approx(by_hand.standard_error)
        assert candidate.brier == pytest.approx(
            np.average((candidate.out_of_fold - data.correct) ** 2, weights=data.weights)
        )
    best = min(ran, key=lambda candidate: candidate.log_loss)
    assert found.best == best.kind
    assert best.out_of_fold is not None
    least = losses.log_losses(best.out_of_fold, data.correct)
    within = []
    for candidate in ran:
        behind = losses.log_losses(candidate.out_of_fold, data.correct) - least
        paired = intervals.weighted_mean(behind, data.weights, data.groups)
        if candidate is best or paired.mean <= 0.75 * paired.standard_error:
            within.append(candidate)
    assert len(within) < len(ran), "the rule has something to turn down here"
    simplest = min(selection.RANK[candidate.kind] for candidate in within)
    assert selection.RANK[found.kind] == simplest
    assert found.chosen.log_loss == min(c.log_loss for c in within if selection.RANK[c.kind] == simplest)


def test_out_of_fold_confidence_never_saw_the_row() -> None:
    # Labels by coin: in sample, isotonic looks better than the base rate; out of fold it cannot.
    rng = np.random.default_rng(6)
    scores = rng.choice(np.linspace(0.3, 0.95, 40), 1200)
    data = Dataset.of(scores, rng.random(1200) < 0.7)
    found = selection.select(data, kinds=("isotonic",))
    assert found.chosen.out_of_fold is not None
    in_sample = data.confidence(evaluation_calibrator(found))
    out, seen = (
        evaluation.evaluate(c, data.correct, seed=0, use_netcal=False).log_loss
        for c in (found.chosen.out_of_fold, in_sample)
    )
    base = -(data.positives * np.log(data.positives) + (1 - data.positives) * np.log(1 - data.positives))
    assert seen < base < out


def evaluation_calibrator(found: selection.Selection):  # type: ignore[no-untyped-def]
    import calibrators

    return calibrators.Calibrator(map=found.fitted.calibrator_map)


def test_groups_are_never_split_between_fit_and_score() -> None:
    # 40 items in 25 copies each, with their own score and outcome: only a split group could predict them.
    rng = np.random.default_rng(7)
    item_scores = np.round(rng.uniform(0.5, 0.99, 40), 4)
    item_correct = rng.random(40) < 0.7
    scores, correct = np.repeat(item_scores, 25), np.repeat(item_correct, 25)
    blind = selection.select(Dataset.of(scores, correct), kinds=("identity", "isotonic"))
    aware = selection.select(
        Dataset.of(scores, correct, groups=np.repeat(np.arange(40), 25)), kinds=("identity", "isotonic")
    )
    assert blind.kind == "isotonic"
    assert aware.kind == "identity"
    assert row(aware, "isotonic").log_loss > row(blind, "isotonic").log_loss + 0.1


def test_repeats_and_seed(simulate: Simulate) -> None:
    data = simulate(300, seed=8, stretch=2.0)
    once, again, other = (selection.select(data, seed=seed) for seed in (1, 1, 2))
    assert row(once, "beta").log_loss == row(again, "beta").log_loss
    assert row(once, "beta").log_loss != row(other, "beta").log_loss


@pytest.mark.parametrize(
    ("scores", "correct", "weights", "words"),
    [
        (np.linspace(0.1, 0.9, 29), np.arange(29) % 2, None, "29 effective labels, 30 are needed"),
        (
            np.linspace(0.1, 0.9, 100),
            np.arange(100) >= 4,
            None,
            "4 incorrect and 96 correct labels, 5 of each",
        ),
        (
            np.linspace(0.1, 0.9, 100),
            np.arange(100) < 3,
            None,
            "97 incorrect and 3 correct labels, 5 of each",
        ),
        (np.linspace(0.1, 0.9, 100), np.arange(100) % 2, np.r_[1e6, np.ones(99)], "1 effective labels"),
        (np.linspace(0.1, 0.9, 50), np.ones(50), None, "0 incorrect and 50 correct"),
    ],
)
def test_too_few_labels_leave_the_identity(
    scores: np.ndarray, correct: np.ndarray, weights: np.ndarray | None, words: str
) -> None:
    found = selection.select(Dataset.of(scores, correct, weights=weights))
    assert found.kind == "identity"
    assert words in found.reason
    assert all(words in candidate.excluded for candidate in found.candidates if candidate.kind != "identity")


@pytest.mark.parametrize(
    ("n", "distinct", "runs"),
    [(199, 5, False), (200, 5, True), (200, 21, False), (999, 100, False), (1000, 100, True)],
)
def test_isotonic_needs_labels_by_distinct_scores(n: int, distinct: int, runs: bool) -> None:
    scores = np.linspace(0.1, 0.9, distinct)[np.arange(n) % distinct]
    correct = np.random.default_rng(n).random(n) < scores
    found = row(selection.select(Dataset.of(scores, correct)), "isotonic")
    assert (found.excluded == "") is runs
    if not runs:
        assert f"{distinct} distinct scores" in found.excluded


def test_one_group_cannot_be_cross_validated(simulate: Simulate) -> None:
    data = simulate(100)
    found = selection.select(Dataset.of(data.scores, data.correct, groups=np.zeros(100)))
    assert found.kind == "identity"
    assert "one group" in found.reason
    assert found.chosen.out_of_fold is None


def test_a_kind_that_was_asked_for_is_fitted_whatever_the_floors_say(simulate: Simulate) -> None:
    found = selection.select(simulate(100, stretch=2.0), kinds=("isotonic",))
    assert (found.kind, found.reason) == ("isotonic", "isotonic: asked for")
    assert np.isfinite(found.chosen.log_loss)
    tiny = selection.select(simulate(20, stretch=2.0), kinds=("platt-logit", "platt-raw"))
    assert tiny.kind == "platt-logit"
    assert "20 effective labels" in tiny.reason
    assert tiny.chosen.out_of_fold is None
    raw = selection.select(simulate(2000, stretch=2.0), kinds=("platt-logit", "platt-raw"))
    assert raw.kind == "platt-logit"


def test_uninformative_scores_are_said_aloud() -> None:
    rng = np.random.default_rng(9)
    scores = rng.uniform(0.5, 0.99, 2000)
    found = selection.select(Dataset.of(scores, rng.random(2000) < 1.3 - scores))
    assert found.uninformative
    assert row(found, "platt-logit").uninformative
    assert not selection.select(Dataset.of(scores, rng.random(2000) < scores)).uninformative


def test_unknown_kinds_are_refused(simulate: Simulate) -> None:
    for kinds in ((), ("constant",), ("identity", "constant")):
        with pytest.raises(errors.RequestRefused, match="can be selected"):
            selection.select(simulate(100), kinds=kinds)


def test_document_is_json_without_gaps(simulate: Simulate) -> None:
    document = json.loads(json.dumps(selection.select(simulate(100)).as_document(), allow_nan=False))
    assert document["chosen"] == "identity"
    excluded = [c for c in document["candidates"] if c["excluded"]]
    assert [c["kind"] for c in excluded] == ["isotonic"]
    assert excluded[0]["log_loss"] is None


def test_scalar_and_vector_candidates_compare_on_cifar(cifar: tuple[Dataset, Dataset]) -> None:
    validation, test = cifar
    found = selection.select(validation)
    assert found.kind == "beta"
    assert row(found, "identity").difference > 2 * row(found, "identity").difference_standard_error
    # The test set agrees with the choice.
    chosen = test.confidence(evaluation_calibrator(found))
    raw = losses.log_losses(test.scores, test.correct).mean()
    assert losses.log_losses(chosen, test.correct).mean() < raw - 0.002
    assert "10000 are needed" in row(found, "isotonic").excluded
    temperature = selection.select(validation, kinds=("temperature",))
    fitted = test.confidence(evaluation_calibrator(temperature))
    assert (
        losses.log_losses(fitted, test.correct).mean() < losses.log_losses(test.scores, test.correct).mean()
    )


def test_stated_confidence_of_a_language_model(hitl_file: object) -> None:
    import pandas as pd

    frame = pd.read_csv(str(hitl_file))
    frame = frame[frame.level == "L1"]
    for model in sorted(frame.model.unique()):
        part = frame[frame.model == model]
        data = Dataset.of(part.confidence, part.correct_code, groups=part.item)
        found = selection.select(data)
        assert data.n_effective == pytest.approx(1130)
        # 113 items in 10 runs are not 1,130 labels: the clustered error is far above the naive one.
        naive = intervals.weighted_mean(
            losses.log_losses(np.asarray(found.chosen.out_of_fold), data.correct), data.weights
        ).standard_error
        assert found.chosen.standard_error > 2.0 * naive

from typing import Any

import numpy as np
import pytest

from calibrators import Calibrator, Constant, Identity, VectorTemperature
from training import errors
from training.data.dataset import Dataset

LOGITS = np.array([[2.0, 0.0, -1.0], [0.0, 3.0, 0.0], [0.5, 0.0, 1.0], [1.0, 1.0, 0.0]])


def test_of_fills_in_what_follows() -> None:
    data = Dataset.of([0.5, 0.9, 0.9], [True, False, True])
    assert data.weights.tolist() == [1.0, 1.0, 1.0]
    assert (len(data), data.distinct, data.outcomes) == (3, 2, (1, 2))
    assert data.positives == pytest.approx(2 / 3)
    assert data.n_effective == pytest.approx(3.0)
    assert data.window == (None, None)
    assert data.answer == "given"


def test_from_logits_speaks_of_the_most_likely_class() -> None:
    data = Dataset.from_logits(LOGITS, [0, 2, 2, 0])
    assert data.answers is not None
    assert data.answers.tolist() == [0, 1, 2, 0]
    assert data.correct.tolist() == [1.0, 0.0, 1.0, 1.0]
    expected = np.exp(LOGITS).max(axis=1) / np.exp(LOGITS).sum(axis=1)
    assert data.scores == pytest.approx(expected)
    assert (data.evidence, data.answer) == ("logits", "argmax")


def test_scores_of_huge_logits_are_finite() -> None:
    data = Dataset.from_logits([[1e5, 0.0], [0.0, -1e5]], [0, 1])
    assert data.scores.tolist() == [1.0, 1.0]
    other = Dataset.of([0.0, 1.0], [0, 1], vectors=[[1e5, 0.0], [0.0, -1e5]], answers=[1, 0])
    assert other.answer == "given"


def test_truths_follow_from_right_answers_only() -> None:
    data = Dataset.of([0.8, 0.7], [1, 0], vectors=[[1.0, 0.0], [1.0, 0.0]], answers=[0, 0], evidence="logits")
    assert data.truths is not None
    assert data.truths.tolist() == [0, -1]


def test_window_is_rfc3339() -> None:
    data = Dataset.of([0.5, 0.6], [0, 1], times=[1_709_424_000.0, 0.5])
    assert data.window == ("1970-01-01T00:00:00Z", "2024-03-03T00:00:00Z")


def test_take_keeps_every_column() -> None:
    data = Dataset.from_logits(
        LOGITS, [0, 2, 2, 0], weights=[1, 2, 3, 4], groups=list("abca"), times=[4, 3, 2, 1]
    )
    part = data.take(np.array([3, 1]))
    assert part.weights.tolist() == [4.0, 2.0]
    assert part.groups is not None
    assert part.groups.tolist() == ["a", "b"]
    assert part.times is not None
    assert part.times.tolist() == [1.0, 3.0]
    assert part.vectors is not None
    assert part.vectors.tolist() == LOGITS[[3, 1]].tolist()
    assert part.truths is not None
    assert part.truths.tolist() == [0, 2]


def test_digest_names_the_content() -> None:
    def make(**changes: Any) -> str:
        columns = {"scores": [0.5, 0.6, 0.7], "correct": [0, 1, 1], "groups": ["a", "b", "a"]} | changes
        return Dataset.of(**columns).digest

    digest = make()
    assert digest.startswith("sha256:")
    assert len(digest) == 71
    assert make() == digest
    assert make(groups=[7, 9, 7]) == digest  # the partition counts, not its spelling
    assert make(scores=np.float32([0.5, 0.6, 0.7])) != digest
    for change in (
        {"scores": [0.5, 0.6, 0.8]},
        {"correct": [1, 1, 1]},
        {"groups": ["a", "a", "b"]},
        {"groups": None},
        {"weights": [1, 1, 2]},
        {"times": [1, 2, 3]},
        {"evidence": "token_logprobs"},
    ):
        assert make(**change) != digest, change


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"scores": [], "correct": []}, "no labelled rows"),
        ({"scores": [0.5, np.nan]}, "outside"),
        ({"scores": [0.5, 1.1]}, "outside"),
        ({"correct": [0.0, 0.5]}, "neither 0 nor 1"),
        ({"correct": [0.0]}, "shape"),
        ({"weights": [1.0, 0.0]}, "weight"),
        ({"weights": [1.0, np.inf]}, "weight"),
        ({"groups": ["a"]}, "groups"),
        ({"times": [0.0, 1e13]}, "since 1970"),
        ({"answers": [0, 1]}, "together"),
        ({"vectors": [[1.0, 2.0]], "answers": [0, 0]}, "shape"),
        ({"vectors": [[1.0], [2.0]], "answers": [0, 0]}, "shape"),
        ({"vectors": [[1.0, np.inf], [0.0, 0.0]], "answers": [0, 0]}, "finite"),
        ({"vectors": [[1.0, 2.0], [0.0, 0.0]], "answers": [0, 2]}, "answer"),
        ({"vectors": [[1.0, 2.0], [0.0, 0.0]], "answers": [0, 1], "truths": [0, 2]}, "true class"),
    ],
)
def test_refuses_what_does_not_hold_together(columns: dict[str, Any], problem: str) -> None:
    whole: dict[str, Any] = {"scores": [0.5, 0.6], "correct": [0, 1]} | columns
    with pytest.raises(errors.DataRefused, match=problem):
        Dataset.of(**whole)


def test_confidence_of_scalar_and_vector_calibrators() -> None:
    data = Dataset.from_logits(LOGITS, [0, 2, 2, 0])
    assert data.confidence(Calibrator(map=Identity())) == pytest.approx(data.scores)
    assert data.confidence(Calibrator(map=VectorTemperature(1.0))) == pytest.approx(data.scores)
    assert data.confidence(Calibrator(map=Constant(0.25))) == pytest.approx(0.25)
    with pytest.raises(errors.DataRefused, match="takes logit vectors"):
        Dataset.of([0.5, 0.6], [0, 1]).confidence(Calibrator(map=VectorTemperature(1.0)))

"""Labelled evidence: what a calibrator is fitted to and judged on."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

import calibrators
from calibrators.evidence import Aggregation, EvidenceKind
from sidecar.policy import categories as category_names
from sidecar.times import LAST_SECOND, rfc3339
from training import errors
from training.measure import intervals
from training.measure.intervals import FloatArray, IntArray

OPTIONAL_COLUMNS = ("vectors", "answers", "truths", "groups", "times", "categories")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """n labelled predictions, in any order. Build one with `Dataset.of`, which checks everything.

    Attributes:
        scores: (n,) raw confidence in the given answer, in [0, 1].
        correct: (n,) 1.0 where the given answer was right, else 0.0.
        weights: (n,) above 0; the inverse of each label's inclusion probability.
        evidence: what the model handed over.
        aggregation: how token log-probabilities became one score, else "none".
        vectors: (n, k) logits or log-probabilities, where the evidence is a vector.
        answers: (n,) index of the given answer in its vector; there exactly if `vectors` is.
        truths: (n,) index of the true class, -1 where only right or wrong is known; for vectors.
        groups: (n,) rows with equal keys depend on each other and are never split between fit and score.
        times: (n,) seconds since 1970 (UTC).
        categories: (n,) names in the sidecar's normal form, "" where a row has none.
    """

    scores: FloatArray
    correct: FloatArray
    weights: FloatArray
    evidence: EvidenceKind = "score"
    aggregation: Aggregation = "none"
    vectors: FloatArray | None = None
    answers: IntArray | None = None
    truths: IntArray | None = None
    groups: npt.NDArray[Any] | None = None
    times: FloatArray | None = None
    categories: npt.NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        """Refuses what does not hold together."""
        problem = _problem(self)
        if problem:
            raise errors.DataRefused(problem)

    @classmethod
    def of(
        cls,
        scores: npt.ArrayLike,
        correct: npt.ArrayLike,
        *,
        weights: npt.ArrayLike | None = None,
        evidence: EvidenceKind = "score",
        aggregation: Aggregation = "none",
        vectors: npt.ArrayLike | None = None,
        answers: npt.ArrayLike | None = None,
        truths: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        times: npt.ArrayLike | None = None,
        categories: npt.ArrayLike | None = None,
    ) -> Self:
        """A dataset from anything array-like; missing weights are ones, missing truths follow from `correct`.

        Categories are brought into their normal form.

        Raises:
            DataRefused: shapes differ, or a number is missing, not finite or out of its range.
        """
        score_array = _floats(scores)
        correct_array = _floats(correct)
        answer_array = _integers(answers)
        truth_array = _integers(truths)
        if answer_array is not None and truth_array is None and answer_array.shape == correct_array.shape:
            truth_array = np.where(correct_array == 1.0, answer_array, -1).astype(np.int64)
        return cls(
            scores=score_array,
            correct=correct_array,
            weights=np.ones(score_array.shape) if weights is None else _floats(weights),
            evidence=evidence,
            aggregation=aggregation,
            vectors=None if vectors is None else _floats(vectors),
            answers=answer_array,
            truths=truth_array,
            groups=None if groups is None else np.asarray(groups),
            times=None if times is None else _floats(times),
            categories=None if categories is None else _normal_forms(categories),
        )

    @classmethod
    def from_logits(
        cls,
        logits: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        evidence: EvidenceKind = "logits",
        weights: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        times: npt.ArrayLike | None = None,
        categories: npt.ArrayLike | None = None,
    ) -> Self:
        """A dataset of `logits` (n, k) whose given answer is the most likely class; `labels` (n,) are true.

        Log-probabilities are logits too: softmax gives the same probabilities back.
        """
        vectors = _floats(logits)
        truths = np.asarray(labels).astype(np.int64)
        answers = vectors.argmax(axis=1)
        return cls.of(
            softmax_at(vectors, answers),
            (answers == truths).astype(np.float64),
            vectors=vectors,
            answers=answers,
            truths=truths,
            evidence=evidence,
            weights=weights,
            groups=groups,
            times=times,
            categories=categories,
        )

    def __len__(self) -> int:
        return int(self.scores.size)

    @property
    def digest(self) -> str:
        """Over every column, "sha256:<hex>": equal data in equal order agree. Computed on each call."""
        return _digest(self)

    @property
    def n_effective(self) -> float:
        """Kish's effective number of labels."""
        return intervals.n_effective(self.weights)

    @property
    def outcomes(self) -> tuple[int, int]:
        """Rows that were incorrect, and rows that were correct."""
        right = int(self.correct.sum())
        return len(self) - right, right

    @property
    def distinct(self) -> int:
        """Number of different scores."""
        return int(np.unique(self.scores).size)

    @property
    def positives(self) -> float:
        """Weighted share of correct answers."""
        return float((self.weights * self.correct).sum() / self.weights.sum())

    @property
    def window(self) -> tuple[str | None, str | None]:
        """First and last time as RFC 3339, or (None, None) without times."""
        if self.times is None:
            return None, None
        return rfc3339(float(self.times.min())), rfc3339(float(self.times.max()))

    @property
    def answer(self) -> Literal["argmax", "given"]:
        """What a fit can speak for: "argmax" if every given answer was the most likely one."""
        if self.vectors is not None and self.answers is not None:
            chosen = np.take_along_axis(self.vectors, self.answers[:, None], axis=1)[:, 0]
            return "argmax" if bool(np.all(chosen >= self.vectors.max(axis=1))) else "given"
        if self.evidence == "positive_probability" and bool(np.all(self.scores >= 0.5)):
            return "argmax"
        return "given"

    def take(self, index: npt.NDArray[Any]) -> "Dataset":
        """The rows that `index` (positions or a mask) names, in its order."""
        return Dataset(
            scores=self.scores[index],
            correct=self.correct[index],
            weights=self.weights[index],
            evidence=self.evidence,
            aggregation=self.aggregation,
            vectors=None if self.vectors is None else self.vectors[index],
            answers=None if self.answers is None else self.answers[index],
            truths=None if self.truths is None else self.truths[index],
            groups=None if self.groups is None else self.groups[index],
            times=None if self.times is None else self.times[index],
            categories=None if self.categories is None else self.categories[index],
        )

    def joined(self, other: "Dataset") -> "Dataset":
        """The rows of this one, and then the other's.

        Raises:
            DataRefused: they are not of the same evidence, or one has a column that the other lacks.
        """
        if (self.evidence, self.aggregation) != (other.evidence, other.aggregation):
            raise errors.DataRefused("datasets of different evidence cannot be put together")
        columns: dict[str, Any] = {}
        for name in ("scores", "correct", "weights", *OPTIONAL_COLUMNS):
            own, others = getattr(self, name), getattr(other, name)
            if (own is None) != (others is None):
                raise errors.DataRefused(f"one of the datasets has {name}, and the other has none")
            columns[name] = None if own is None else np.concatenate((own, others))
        return replace(self, **columns)

    def confidence(self, calibrator: calibrators.Calibrator) -> FloatArray:
        """(n,) what `calibrator` makes of each row in its category: P(the given answer is correct).

        Raises:
            DataRefused: the calibrator takes vectors and there are none.
        """
        if not calibrator.takes_vector:
            return np.asarray(calibrator.apply(self.scores, self.categories), dtype=np.float64)
        if self.vectors is None or self.answers is None:
            raise errors.DataRefused(
                "this calibrator takes logit vectors, but the data hold one score a row: "
                "use an .npz file with `logits` and `labels`, or a calibrator fitted on scores"
            )
        probabilities = np.asarray(calibrator.apply(self.vectors, self.categories), dtype=np.float64)
        return np.take_along_axis(probabilities, self.answers[:, None], axis=1)[:, 0]


def softmax_at(vectors: FloatArray, index: IntArray) -> FloatArray:
    """(n,) the softmax of each row of `vectors` (n, k) at that row's index."""
    chosen = np.take_along_axis(vectors, index[:, None], axis=1)
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / np.exp(vectors - chosen).sum(axis=1), dtype=np.float64)


def _floats(values: npt.ArrayLike) -> FloatArray:
    return np.ascontiguousarray(values, dtype=np.float64)


def _integers(values: npt.ArrayLike | None) -> IntArray | None:
    return None if values is None else np.ascontiguousarray(values, dtype=np.int64)


def _normal_forms(values: npt.ArrayLike) -> npt.NDArray[np.str_]:
    given = np.asarray(values, dtype=np.str_)
    distinct, codes = np.unique(given, return_inverse=True)
    normal = np.array([category_names.normalise(name) for name in distinct.tolist()], dtype=np.str_)
    return normal[codes.reshape(given.shape)] if distinct.size else given


def _problem(data: Dataset) -> str | None:
    n = data.scores.size
    if data.scores.ndim != 1 or n == 0:
        return "there are no labelled rows"
    columns = {"correct": data.correct, "weights": data.weights, "groups": data.groups, "times": data.times}
    columns |= {"answers": data.answers, "truths": data.truths, "categories": data.categories}
    for name, column in columns.items():
        if column is not None and column.shape != (n,):
            return f"{name} has shape {column.shape} where the scores have {(n,)}"
    if not np.all((data.scores >= 0.0) & (data.scores <= 1.0)):
        return "a score is outside [0, 1] or not a number"
    if not np.all((data.correct == 0.0) | (data.correct == 1.0)):
        return "a label is neither 0 nor 1"
    if not np.all(np.isfinite(data.weights) & (data.weights > 0.0)):
        return "a weight is not a finite number above 0"
    if data.times is not None and not np.all((data.times >= 0.0) & (data.times <= LAST_SECOND)):
        return "a time is not in seconds since 1970"
    if (data.vectors is None) != (data.answers is None):
        return "vectors and answers come together or not at all"
    return None if data.vectors is None else _vector_problem(data.vectors, data.answers, data.truths, n)


def _vector_problem(
    vectors: FloatArray, answers: IntArray | None, truths: IntArray | None, n: int
) -> str | None:
    if vectors.ndim != 2 or vectors.shape[0] != n or vectors.shape[1] < 2:
        return f"vectors have shape {vectors.shape} where ({n}, k) with k of at least 2 is needed"
    if not np.all(np.isfinite(vectors)):
        return "a vector holds a number that is not finite"
    classes = vectors.shape[1]
    if answers is None or answers.min() < 0 or answers.max() >= classes:
        return f"an answer is not the index of one of the {classes} classes"
    if truths is not None and (truths.min() < -1 or truths.max() >= classes):
        return f"a true class is not the index of one of the {classes} classes"
    return None


def _digest(data: Dataset) -> str:
    """sha256 over names, shapes and little-endian content of every column, in a fixed order."""
    sha = hashlib.sha256(f"{data.evidence} {data.aggregation}".encode())
    for name in ("scores", "correct", "weights", "vectors", "answers", "truths", "groups", "times"):
        column = getattr(data, name)
        if column is None:
            continue
        if name == "groups":  # the partition counts, not how its keys are spelled
            column = np.unique(column, return_inverse=True)[1]
        kind = "<i8" if name in ("answers", "truths", "groups") else "<f8"
        sha.update(f" {name}{column.shape} ".encode())
        sha.update(np.ascontiguousarray(column, dtype=kind).tobytes())
    if data.categories is not None:
        sha.update(f" categories{data.categories.shape} ".encode())
        sha.update("\0".join(data.categories.tolist()).encode())
    return f"sha256:{sha.hexdigest()}"

"""A real, overconfident model and its traffic: Gaussian naive Bayes on scikit-learn's handwritten digits."""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

from training.data.dataset import softmax_at
from training.measure.intervals import FloatArray, IntArray

TRAINED_ON = 100
HELD_OUT = 600
NOISE = 5.5
"""Standard deviation of the pixel noise of the second half; a pixel goes from 0 to 16."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What the model says about n images, and what is true.

    Attributes:
        images: (n,) which held-back image each one shows; the same image comes again and again.
        logits: (n, 10) the logarithm of what the model finds each digit to be worth.
        truth: (n,) the digit that it is.
    """

    images: IntArray
    logits: FloatArray
    truth: IntArray

    @property
    def predicted(self) -> IntArray:
        """(n,) the digit that the model answers."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @property
    def confidence(self) -> FloatArray:
        """(n,) the model's confidence in that answer."""
        return softmax_at(self.logits, self.predicted)

    @property
    def correct(self) -> FloatArray:
        """(n,) 1.0 where the answer is right."""
        return np.asarray(self.predicted == self.truth, dtype=np.float64)

    def __len__(self) -> int:
        return int(self.images.size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Digits:
    """The model's answers on a labelled holdout, and on traffic whose second half has noisy pixels."""

    holdout: Answers
    traffic: Answers


def prepare(requests: int, seed: int) -> Digits:
    """Trains the model and asks it everything.

    Naive Bayes takes the pixels for independent, counts the same evidence many times over, and so is far too
    sure: the textbook case of a confidence that is not a probability.

    Args:
        requests: answers of traffic, resampled from the images that neither training nor holdout has seen.
        seed: of the split, the resampling and the noise.
    """
    rng = np.random.default_rng(seed)
    pixels, digits = load_digits(return_X_y=True)
    order = rng.permutation(len(pixels))
    pixels, digits = pixels[order], digits[order]
    model = GaussianNB(var_smoothing=0.05).fit(pixels[:TRAINED_ON], digits[:TRAINED_ON])

    def ask(images: IntArray, noise: FloatArray | float) -> Answers:
        seen = np.clip(pixels[images] + noise, 0.0, 16.0)
        worth = model.predict_joint_log_proba(seen)
        logits = worth - worth.max(axis=1, keepdims=True)
        return Answers(images=images, logits=logits, truth=digits[images].astype(np.int64))

    held_out = np.arange(TRAINED_ON, TRAINED_ON + HELD_OUT)
    images = rng.integers(TRAINED_ON + HELD_OUT, len(pixels), size=requests)
    noise = rng.normal(0.0, NOISE, size=(requests, pixels.shape[1]))
    noise[: requests // 2] = 0.0
    return Digits(holdout=ask(held_out, 0.0), traffic=ask(images, noise))

"""The evidence for a challenger: how seldom it is false, how many labels it takes, and what the weights are for."""

import math
from collections.abc import Iterator

import numpy as np

from tests.statistics import paths
from tests.statistics.check import Check, Effort
from training.measure.intervals import FloatArray
from training.watch import challenger

SEED = 20260402
RATE = 0.025
NEEDED = math.log(1.0 / RATE)
FOUND = (
    # logits by which the champion is too confident, the documented median of labels, labels simulated
    (1.0, 340, 2000),
    (0.5, 1030, 4000),
    (0.25, 3800, 9000),
)


def run(effort: Effort) -> list[Check]:
    """Every claim about the comparison; quickly: fewer and shorter streams, and the largest difference alone."""
    full = effort is Effort.FULL
    return [
        *_false_alarms(*((4000, 3000) if full else (500, 600))),
        *_found(1000 if full else 200, FOUND if full else FOUND[:1]),
        _weights(*((200, 20_000) if full else (40, 8000))),
    ]


def _false_alarms(streams: int, labels: int) -> Iterator[Check]:
    """The null hypothesis at its edge: signs that a coin decides; and two confidences of which neither is better."""
    rng = np.random.default_rng([SEED, 0])
    worst = rng.choice([-1.0, 1.0], (streams, labels)) * rng.uniform(0.0, 1.0, (streams, labels))
    # The truth lies half way, so both are off by the same.
    correct = rng.random((streams, labels)) < 0.85
    alike = (0.95 - correct) ** 2 - (0.75 - correct) ** 2
    allowed = RATE + 3.0 * math.sqrt(RATE * (1.0 - RATE) / streams)
    for name, differences in (
        ("signs that a coin decides", worst),
        ("two that are off by the same, for the challenger", alike),
        ("two that are off by the same, for the champion", -alike),
    ):
        alarms = _share(differences)
        yield Check(
            claim=f"with {name}, 40 : 1 is reached within {labels} labels in at most {RATE:.1%} of the streams",
            measured=f"{alarms:.2%} of {streams}",
            holds=alarms <= allowed and (alarms > 0.0 or name != "signs that a coin decides"),
        )


def _found(streams: int, cases: tuple[tuple[float, int, int], ...]) -> Iterator[Check]:
    for by, documented, labels in cases:
        rng = np.random.default_rng([SEED, 1, documented])
        differences = overconfident(by, rng, streams, labels)
        reached = paths.challenger(differences) >= NEEDED
        first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, labels + 1)
        median, wrong = float(np.median(first)), _share(-differences)
        yield Check(
            claim=f"a calibrated challenger beside a champion that is too confident by {by} logits has 40 : 1 after a "
            f"median of about {documented} labels",
            measured=f"{median:.0f}; evidence for the champion in {wrong:.2%}",
            holds=abs(median - documented) <= 0.1 * documented and wrong <= RATE,
        )


def _weights(streams: int, labels: int) -> Check:
    """Better in a band audited ten times as often, worse in the band that has most decisions: worse on the whole."""
    rng = np.random.default_rng([SEED, 2])
    rates = np.where(rng.random((streams, labels)) < 0.5, 0.5, 0.05)
    means = np.where(rates == 0.5, 0.2, -0.3)
    drawn = rng.random(rates.shape) < rates
    values = np.where(drawn, np.where(rng.random(rates.shape) < (1.0 + means) / 2.0, 1.0, -1.0), 0.0)
    weight = np.where(rates == 0.5, challenger.weight(0.5, 0.05), challenger.weight(0.05, 0.05))
    naive, weighted = (paths.challenger(each)[:, -1] for each in (values, values * weight))
    fooled = float(np.median(naive)) > NEEDED
    return Check(
        claim="where the labels say better and the decisions worse, weights leave no evidence for the challenger",
        measured=f"{np.mean(weighted >= NEEDED):.1%} with weights; without them {np.mean(naive >= NEEDED):.1%}",
        holds=fooled and float(np.mean(weighted >= NEEDED)) == 0.0,
    )


def overconfident(by: float, rng: np.random.Generator, streams: int, labels: int) -> FloatArray:
    """d of a champion that is too confident by a constant in logits, for a challenger that is calibrated."""
    scores = rng.beta(6.0, 2.0, (streams, labels))
    odds = scores / (1.0 - scores) * math.exp(by)
    champion, correct = odds / (1.0 + odds), rng.random(scores.shape) < scores
    return np.asarray((champion - correct) ** 2 - (scores - correct) ** 2)


def _share(differences: FloatArray) -> float:
    return float(np.mean(np.any(paths.challenger(differences) >= NEEDED, axis=1)))

"""Selection regret: what the choice of a calibrator loses against the best candidate in hindsight, on real scores.

A replay draws n labels, lets `selection.select` choose and fit, and scores the choice and every candidate,
all fitted to the same n labels, on rows that none of them has seen. The hindsight is that of the single
replay, and it may take the candidates that the selection leaves out for want of labels.

The answers of the language models repeat 113 items 50 times, and the items explain some 80 % of the variance:
whatever n is, about 90 independent labels stand behind it. They are split by item, four fifths to fit; equal
halves of so few items are mirror images, where a surplus of errors on one side is a deficit on the other.
The bound on the regret is claimed for one of the three models. For the other two no rule can reach it, since
no candidate can: the one that is best on average is itself further behind the hindsight of single replays.
Their numbers are shown, and what is claimed of them is that nothing is lost against the raw score, and for one
that much is gained.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tests.statistics.check import Check, Effort
from training.data.dataset import Dataset
from training.fit import fitting, selection
from training.measure import losses

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = (
    "cifar10_resnet50_flsd53_logits.npz",
    "acs_employment_ma_2015_2018.npz",
    "llm_hitl_routing_deductive_coding.csv",
)
MOST_REGRET = 0.005
MOST_ABOVE_IDENTITY = 0.002
SIZES = (500, 1000)
SCORED = 10_000
FIT_SHARE = 0.8
REPLAYS = {Effort.QUICK: 10, Effort.FULL: 200}
REPLAYS_UNCLAIMED = 60
SEED = 20_260_401
UNCLAIMED = ("deepseek", "openai")
GAINS = {"openai": 0.02}
"""Where there is much to gain, so that leaving every score as it is does not pass for a good choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Mean log-losses on unseen rows, in nats: (replays,) of the choice, (replays, candidates) of each kind."""

    chosen: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    candidates: "np.ndarray[tuple[int, int], np.dtype[np.float64]]"

    @property
    def regret(self) -> float:
        """Mean excess over the best candidate of each replay."""
        return float((self.chosen - self.candidates.min(axis=1)).mean())

    @property
    def least_regret(self) -> float:
        """The same of whichever candidate is best on average."""
        return float(self.candidates.mean(axis=0).min() - self.candidates.min(axis=1).mean())

    @property
    def above_identity(self) -> float:
        """Mean excess over the raw score."""
        return float((self.chosen - self.candidates[:, list(selection.RANK).index("identity")]).mean())


def run(effort: Effort) -> list[Check]:
    """The regret and the excess over the identity on every set; without the data, a note instead."""
    missing = [name for name in FILES if not (DATA / name).is_file()]
    if missing:
        return [
            Check(claim="selection on real scores", measured=f"not measured: no {missing[0]}", holds=True)
        ]
    room = 2.0 if effort is Effort.QUICK else 1.0  # ten replays know a mean less well than 200
    found = []
    for name, dataset in _sets():
        if effort is Effort.QUICK and dataset.groups is not None:
            continue  # ten replays of 113 items say nothing
        replays = REPLAYS_UNCLAIMED if name in UNCLAIMED else REPLAYS[effort]
        for n in SIZES:
            rng = np.random.default_rng([SEED, n])
            found += _checks(name, n, replay(dataset, n, replays, rng), room)
    return found


def replay(dataset: Dataset, n: int, replays: int, rng: np.random.Generator) -> Losses:
    """The losses of `replays` selections from n labels each."""
    chosen = np.empty(replays)
    candidates = np.empty((replays, len(selection.RANK)))
    for number in range(replays):
        fit_on, unseen = _split(dataset, n, rng)
        choice = selection.select(fit_on, seed=number)
        fits = {kind: fitting.fit(kind, fit_on) for kind in selection.RANK}
        chosen[number] = _loss(choice.fitted, unseen)
        candidates[number] = [_loss(fitted, unseen) for fitted in fits.values()]
    return Losses(chosen=chosen, candidates=candidates)


def _checks(name: str, n: int, measured: Losses, room: float) -> list[Check]:
    regret, above = measured.regret, measured.above_identity
    told = f"regret {regret:.4f}, against the raw score {above:+.4f}"
    checks = [
        Check(
            claim=f"{name}, n = {n}: at most {MOST_ABOVE_IDENTITY} worse than the raw score",
            measured=told
            + (
                f" (the best candidate's own regret: {measured.least_regret:.4f})"
                if name in UNCLAIMED
                else ""
            ),
            holds=above <= room * MOST_ABOVE_IDENTITY,
        )
    ]
    if name in GAINS:
        claim = f"{name}, n = {n}: at least {GAINS[name]} better than the raw score"
        checks.append(Check(claim=claim, measured=f"{above:+.4f}", holds=above <= -GAINS[name]))
    if name not in UNCLAIMED:
        claim = f"{name}, n = {n}: selection regret at most {MOST_REGRET}"
        checks.append(Check(claim=claim, measured=told, holds=regret <= room * MOST_REGRET))
    return checks


def _sets() -> Iterator[tuple[str, Dataset]]:
    with np.load(DATA / FILES[0]) as archive:
        logits = np.concatenate((archive["val_logits"], archive["test_logits"]))
        truths = np.concatenate((archive["val_labels"], archive["test_labels"]))
    yield "CIFAR-10", Dataset.from_logits(logits, truths)
    with np.load(DATA / FILES[1]) as archive:
        reference = archive["year"] == 2015
        score, truth = archive["score"][reference], archive["label"][reference] == 1
    answer = score >= 0.5
    yield "ACS", Dataset.of(np.where(answer, score, 1.0 - score), answer == truth)
    frame = pd.read_csv(DATA / FILES[2])
    for model, part in frame.groupby("model"):
        yield str(model), Dataset.of(part["confidence"], part["correct_code"], groups=part["item"])


def _split(dataset: Dataset, n: int, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
    if dataset.groups is None:
        order = rng.permutation(len(dataset))
        return dataset.take(order[:n]), dataset.take(order[n : n + SCORED])
    items = rng.permutation(np.unique(dataset.groups))
    own = np.isin(dataset.groups, items[: int(FIT_SHARE * items.size)])
    return dataset.take(rng.choice(np.flatnonzero(own), n, replace=False)), dataset.take(~own)


def _loss(fitted: fitting.Fitted, unseen: Dataset) -> float:
    return float(losses.log_losses(fitting.confidence(fitted, unseen), unseen.correct).mean())

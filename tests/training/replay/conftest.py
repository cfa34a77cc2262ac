"""Histories whose truth is known: half a year of overconfident answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sidecar.policy import loading
from sidecar.times import DAY_SECONDS
from training.data.dataset import Dataset
from training.replay import routing
from training.replay.routing import History
from training.replay.simulation import Plan

START = 1_735_689_600.0  # 2025-01-01
POLICY = """
version: 1
models:
  leads:
    calibrator: models:/leads@champion
    evidence: score
    categories: {general: {}, refunds: {audit_rate: 0.5}, pricing: {mandatory_review: true}}
"""

MakeHistory = Callable[..., History]
MakePlan = Callable[..., Plan]


@pytest.fixture
def make_history() -> MakeHistory:
    """`days` of `daily` answers whose chance of being right is sigmoid(logit(score) / 2 + 0.5), and from
    `broken_from` on 0.25 less."""

    def make(*, days: int = 120, daily: int = 60, broken_from: int | None = None, seed: int = 3) -> History:
        rng = np.random.default_rng(seed)
        n = days * daily
        times = START + np.sort(rng.uniform(0.0, days * DAY_SECONDS, n))
        logits = rng.normal(2.5, 1.5, n)
        chance = 1.0 / (1.0 + np.exp(-(logits / 2.0 + 0.5)))
        if broken_from is not None:
            chance = np.where(times >= START + broken_from * DAY_SECONDS, chance - 0.25, chance)
        return routing.history_of(
            Dataset.of(
                1.0 / (1.0 + np.exp(-logits)),
                rng.random(n) < chance,
                times=times,
                categories=rng.choice(["General", "refunds", "pricing"], n, p=[0.8, 0.15, 0.05]),
            )
        )

    return make


@pytest.fixture
def make_plan() -> MakePlan:
    def make(text: str = POLICY, **fields: Any) -> Plan:
        policy = loading.parse(text).policy
        given = {
            "model": "leads",
            "entry": policy.models["leads"],
            "table": routing.table_of(policy, "leads"),
            "calibrator": None,
            "key": b"k" * 32,
            "retrain_seconds": 20 * DAY_SECONDS,
            "label_seconds": DAY_SECONDS,
        }
        return Plan(**(given | fields))

    return make

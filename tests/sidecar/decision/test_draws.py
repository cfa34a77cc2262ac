"""Draws that are fair, that cannot be rolled again, and that can be checked later."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

from sidecar.decision import draws, identifiers

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
DRAWS = 20_000


@pytest.fixture(scope="module")
def drawn_numbers():
    ids = [identifiers.decision_id(KEY, "acme", "m", f"r-{number}", principal="") for number in range(DRAWS)]
    return np.array([draws.audit_draw(OTHER_KEY, each) for each in ids])


def test_draws_are_uniform(drawn_numbers):
    """Kolmogorov-Smirnov against the uniform distribution, at the 0.1 % level: 1.949 / sqrt(n)."""
    ordered = np.sort(drawn_numbers)
    steps = np.arange(1, DRAWS + 1) / DRAWS
    distance = max(np.max(steps - ordered), np.max(ordered - (steps - 1 / DRAWS)))
    assert distance < 1.949 / DRAWS**0.5
    assert ordered[0] >= 0.0
    assert ordered[-1] < 1.0


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.1, 0.5, 0.9])
def test_the_share_drawn_is_the_rate(drawn_numbers, rate):
    """Within four standard deviations of a binomial share."""
    assert abs(np.mean(drawn_numbers < rate) - rate) < 4 * (rate * (1 - rate) / DRAWS) ** 0.5


def test_neighbours_are_drawn_independently(drawn_numbers):
    assert abs(np.corrcoef(drawn_numbers[:-1], drawn_numbers[1:])[0, 1]) < 4 / DRAWS**0.5


def test_a_draw_can_be_computed_again_with_the_key_and_only_with_it():
    decision = identifiers.decision_id(KEY, "acme", "m", "r-1", principal="")
    digest = hashlib.blake2b(decision.encode(), key=OTHER_KEY, digest_size=8).digest()
    drawn = draws.audit_draw(OTHER_KEY, decision)
    assert drawn == (int.from_bytes(digest, "big") >> 11) * 2.0**-53
    assert draws.audit_draw(KEY, decision) != drawn


def test_the_largest_draw_is_below_one(monkeypatch):
    full = SimpleNamespace(digest=lambda: b"\xff" * 8)
    monkeypatch.setattr(draws, "hashlib", SimpleNamespace(blake2b=lambda *_, **__: full))
    assert draws.audit_draw(KEY, "x") == 1 - 2.0**-53


def test_the_blind_draw_is_uniform_and_independent_of_the_audit_draw_and_of_other_kinds():
    ids = [identifiers.uuid7(1.0) for _ in range(20_000)]
    audit, hold, batch = (
        np.array([draw(each) for each in ids])
        for draw in (
            lambda each: draws.audit_draw(KEY, each),
            lambda each: draws.blind_draw(KEY, each, "HOLD"),
            lambda each: draws.blind_draw(KEY, each, "BATCH"),
        )
    )
    assert abs(np.mean(hold < 0.1) - 0.1) < 4 * (0.1 * 0.9 / len(ids)) ** 0.5
    for one, other in ((audit, hold), (audit, batch), (hold, batch)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / len(ids) ** 0.5
    assert draws.blind_draw(KEY, ids[0], "HOLD") == hold[0]
    assert draws.blind_draw(OTHER_KEY, ids[0], "HOLD") != hold[0]

"""Ids that cannot be guessed, re-rolled or made to collide; draws that are fair and can be checked later."""

import hashlib
import re
import struct
import uuid
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import identifiers

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
DRAWS = 20_000


def test_a_decision_id_is_a_keyed_hash_over_length_prefixed_parts():
    message = b"".join(struct.pack(">I", len(part)) + part for part in (b"acme", b"m", "größe".encode()))
    expected = hashlib.blake2b(message, key=KEY, digest_size=16).hexdigest()
    assert identifiers.decision_id(KEY, "acme", "m", "größe") == expected


@given(st.lists(st.text(max_size=4), min_size=6, max_size=6))
def test_two_requests_have_one_id_only_if_they_are_one(parts):
    first, second = tuple(parts[:3]), tuple(parts[3:])
    same = identifiers.decision_id(KEY, *first) == identifiers.decision_id(KEY, *second)
    assert same == (first == second)


def test_moving_a_letter_between_the_parts_gives_another_id():
    splits = [("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"), ("", "abc", "d"), ("abcd", "", "")]
    assert len({identifiers.decision_id(KEY, *parts) for parts in splits}) == len(splits)
    # Even where the text of one part looks like a length and the next part.
    assert identifiers.decision_id(KEY, "a", "b", "") != identifiers.decision_id(KEY, "a\0\0\0\1b", "", "")


def test_without_the_key_nobody_picks_ids():
    ids = {identifiers.decision_id(key, "acme", "m", "r-1") for key in (KEY, OTHER_KEY)}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_a_uuid7_has_time_version_and_variant():
    ones = identifiers.uuid7(1_770_000_000.123, lambda bits: (1 << bits) - 1)
    assert ones == f"{1_770_000_000_123:012x}7fffbfffffffffffffff"
    assert identifiers.uuid7(0.0, lambda _: 0) == "000000000000" + "7000" + "8000" + "0" * 12
    assert uuid.UUID(identifiers.uuid7(1_770_000_000.0)).variant == uuid.RFC_4122


def test_uuid7s_sort_by_time_and_do_not_repeat():
    made = [identifiers.uuid7(1_770_000_000 + number / 1000) for number in range(500)]
    assert made == sorted(made)
    assert len({identifiers.uuid7(1_770_000_000.0) for _ in range(5_000)}) == 5_000


@pytest.fixture(scope="module")
def draws():
    ids = [identifiers.decision_id(KEY, "acme", "m", f"r-{number}") for number in range(DRAWS)]
    return np.array([identifiers.audit_draw(OTHER_KEY, each) for each in ids])


def test_draws_are_uniform(draws):
    """Kolmogorov-Smirnov against the uniform distribution, at the 0.1 % level: 1.949 / sqrt(n)."""
    ordered = np.sort(draws)
    steps = np.arange(1, DRAWS + 1) / DRAWS
    distance = max(np.max(steps - ordered), np.max(ordered - (steps - 1 / DRAWS)))
    assert distance < 1.949 / DRAWS**0.5
    assert ordered[0] >= 0.0
    assert ordered[-1] < 1.0


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.1, 0.5, 0.9])
def test_the_share_drawn_is_the_rate(draws, rate):
    """Within four standard deviations of a binomial share."""
    assert abs(np.mean(draws < rate) - rate) < 4 * (rate * (1 - rate) / DRAWS) ** 0.5


def test_neighbours_are_drawn_independently(draws):
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / DRAWS**0.5


def test_a_draw_can_be_computed_again_with_the_key_and_only_with_it():
    decision = identifiers.decision_id(KEY, "acme", "m", "r-1")
    digest = hashlib.blake2b(decision.encode(), key=OTHER_KEY, digest_size=8).digest()
    drawn = identifiers.audit_draw(OTHER_KEY, decision)
    assert drawn == (int.from_bytes(digest, "big") >> 11) * 2.0**-53
    assert identifiers.audit_draw(KEY, decision) != drawn


def test_the_largest_draw_is_below_one(monkeypatch):
    full = SimpleNamespace(digest=lambda: b"\xff" * 8)
    monkeypatch.setattr(identifiers, "hashlib", SimpleNamespace(blake2b=lambda *_, **__: full))
    assert identifiers.audit_draw(KEY, "x") == 1 - 2.0**-53


def test_the_blind_draw_is_uniform_and_independent_of_the_audit_draw_and_of_other_kinds():
    ids = [identifiers.uuid7(1.0) for _ in range(20_000)]
    audit, hold, batch = (
        np.array([draw(each) for each in ids])
        for draw in (
            lambda each: identifiers.audit_draw(KEY, each),
            lambda each: identifiers.blind_draw(KEY, each, "HOLD"),
            lambda each: identifiers.blind_draw(KEY, each, "BATCH"),
        )
    )
    assert abs(np.mean(hold < 0.1) - 0.1) < 4 * (0.1 * 0.9 / len(ids)) ** 0.5
    for one, other in ((audit, hold), (audit, batch), (hold, batch)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / len(ids) ** 0.5
    assert identifiers.blind_draw(KEY, ids[0], "HOLD") == hold[0]
    assert identifiers.blind_draw(OTHER_KEY, ids[0], "HOLD") != hold[0]

"""Ids that cannot be guessed, re-rolled or made to collide."""

import hashlib
import re
import struct
import uuid

from hypothesis import given
from hypothesis import strategies as st

from sidecar.decision import identifiers

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))


def made(tenant, model, request_id, principal=""):
    return identifiers.decision_id(KEY, tenant, model, request_id, principal=principal)


def test_a_decision_id_is_a_keyed_hash_over_length_prefixed_parts():
    message = b"".join(
        struct.pack(">I", len(part)) + part for part in (b"crm", b"acme", b"m", "größe".encode())
    )
    expected = hashlib.blake2b(message, key=KEY, digest_size=16).hexdigest()
    assert identifiers.decision_id(KEY, "acme", "m", "größe", principal="crm") == expected


@given(st.lists(st.text(max_size=4), min_size=8, max_size=8))
def test_two_requests_have_one_id_only_if_they_are_one(parts):
    first, second = parts[:4], parts[4:]
    same = made(*first) == made(*second)
    assert same == (first == second)


def test_moving_a_letter_between_the_parts_gives_another_id():
    splits = [("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"), ("", "abc", "d"), ("abcd", "", "")]
    assert len({made(*parts) for parts in splits}) == len(splits)
    # Even where the text of one part looks like a length and the next part.
    assert made("a", "b", "") != made("a\0\0\0\1b", "", "")


def test_without_the_key_nobody_picks_ids():
    ids = {identifiers.decision_id(key, "acme", "m", "r-1", principal="") for key in (KEY, OTHER_KEY)}
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

"""What the tags of versions tell about the way of an alias: every step, signed or by hand."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import dialect
from sidecar.dialect import Move, Place, Step
from training.registry import alias_history


def tag(
    number: int, origin: str | None, target: str, *, kind: str = "promote", alias: str = "champion", **more
) -> tuple[str, str]:
    value = {
        "alias": alias,
        "kind": kind,
        "from_version": origin,
        "to_version": target,
        "by": "ada",
        "reason": "better",
        "at": float(number),
        "done": True,
        **more,
    }
    return f"trueband.move.{number:08d}", json.dumps(value)


def told(*tags: tuple[str, str]) -> dict[str, Move]:
    return dialect.told(dict(tags), "champion")


def test_the_tags_that_training_writes_are_understood() -> None:
    written = alias_history.Move(
        alias="champion",
        kind="rollback",
        from_version="4",
        to_version="3",
        by="grace",
        reason="worse",
        at=1_770_000_000.25,
        done=True,
    )
    key, value = written.tag()
    [move] = dialect.told({key: value, "trueband.sha256": "x"}, "champion").values()
    assert (move.key, move.kind, move.from_version, move.to_version) == (key, "ROLLED_BACK", "4", "3")
    assert (move.by, move.reason, move.at, move.done) == ("grace", "worse", 1_770_000_000.25, True)
    assert dialect.told({key: value}, "challenger") == {}


@pytest.mark.parametrize(
    ("kind", "means"),
    [("publish", "PROMOTED"), ("promote", "PROMOTED"), ("retrain", "RETRAINED"), ("rollback", "ROLLED_BACK")],
)
def test_kinds_and_evidence(kind: str, means: str) -> None:
    [move] = told(tag(1, None, "1", kind=kind, evidence="run-7")).values()
    assert (move.kind, move.evidence, move.from_version) == (means, "run-7", "")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "no JSON",
        "[]",
        "null",
        "{}",
        json.dumps({"alias": "champion"}),
        tag(1, "1", "2", at="soon")[1],
        tag(1, "1", "2", at=1e300)[1],
        tag(1, "1", "2", by=7)[1],
        tag(1, "1", "2", to_version=2)[1],
        tag(1, "1", "2", kind=["x"])[1],
        "[" * 10_000,
        tag(1, "1", "2", reason="x" * 20_000)[1],
    ],
)
def test_what_is_no_move_is_left_out(value: str) -> None:
    assert dialect.told({"trueband.move.1": value}, "champion") == {}


def test_the_copy_that_knows_of_the_end_counts() -> None:
    begun, done = told(tag(1, "1", "2", done=False)), told(tag(1, "1", "2"))
    for accounts in itertools.permutations([begun, done]):
        assert dialect.merged(accounts) == done


def test_a_promotion_is_one_step() -> None:
    known = told(tag(5, "1", "2"))
    [step] = dialect.path(Place(version="1"), "2", known)
    assert step == Step(from_version="1", to_version="2", move=known["trueband.move.00000005"])


def test_without_a_tag_it_was_done_by_hand() -> None:
    assert dialect.path(Place(version="1"), "2", {}) == (Step(from_version="1", to_version="2"),)
    assert dialect.path(Place(version="1"), "", {}) == (Step(from_version="1", to_version=""),)


def test_an_old_move_to_where_it_is_now_does_not_sign_a_move_by_hand() -> None:
    known = told(tag(5, "1", "2"), tag(6, "2", "3"))
    [step] = dialect.path(Place(version="3", move="trueband.move.00000006"), "2", known)
    assert step == Step(from_version="3", to_version="2")


def test_hand_moves_between_signed_ones_are_seen() -> None:
    known = told(tag(5, "1", "2"), tag(9, "4", "5"))
    steps = dialect.path(Place(version="1"), "6", known)
    assert [(step.from_version, step.to_version, step.move is not None) for step in steps] == [
        ("1", "2", True),
        ("2", "4", False),
        ("4", "5", True),
        ("5", "6", False),
    ]
    assert steps[1].before == "trueband.move.00000009"


def test_what_is_begun_is_told_from_what_is_done() -> None:
    known = told(tag(5, "1", "2", done=False))
    assert dialect.unfinished(Place(version="1"), "2", known) is not None
    assert dialect.unfinished(Place(version="1", move="trueband.move.00000005"), "2", known) is None
    assert dialect.unfinished(Place(version="1"), "3", known) is None
    assert dialect.path(Place(version="1"), "2", known) == (Step(from_version="1", to_version="2"),)


@settings(max_examples=200, deadline=None)
@given(
    way=st.lists(st.tuples(st.sampled_from("123"), st.booleans()), min_size=1, max_size=12),
    cut=st.integers(0, 11),
)
def test_the_path_always_leads_here_and_tells_every_signed_move(
    way: list[tuple[str, bool]], cut: int
) -> None:
    """Whatever mixture of signed and unsigned moves there was, seen from whichever moment."""
    position, tags, places = "", [], [Place(version="")]
    for number, (target, signed) in enumerate(way, start=1):
        newest = places[-1].move
        if signed and target != position:
            tags.append(tag(number, position or None, target))
            newest = tags[-1][0]
        position = target
        places.append(Place(version=position, move=newest))
    since = places[min(cut, len(places) - 1)]
    steps = dialect.path(since, position, told(*tags))
    signed_since = [key for key, _ in tags if key > since.move]
    assert [step.move.key for step in steps if step.move is not None] == signed_since
    ends = [since.version, *(step.to_version for step in steps)]
    assert ends[-1] == position
    assert all(step.from_version == end for step, end in zip(steps, ends, strict=False))

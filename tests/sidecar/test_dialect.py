"""What the tags of versions tell about the way of an alias: every step, signed or by hand."""

import itertools
import json
import random
from collections.abc import Iterator
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import dialect
from sidecar.dialect import AliasStep, Move, Place


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
    return dialect.moves_of(dict(tags), "champion")


def test_the_tags_that_a_move_writes_are_understood() -> None:
    written = Move(
        key=dialect.move_key(1_770_000_000.25),
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
    [move] = dialect.moves_of({key: value, "trueband.sha256": "x"}, "champion").values()
    assert (move.key, move.kind, move.from_version, move.to_version) == (key, "rollback", "4", "3")
    assert (move.by, move.reason, move.at, move.done) == ("grace", "worse", 1_770_000_000.25, True)
    assert dialect.moves_of({key: value}, "challenger") == {}


@pytest.mark.parametrize("kind", get_args(dialect.MoveKind))
def test_kinds_and_evidence(kind: str) -> None:
    [move] = told(tag(1, None, "1", kind=kind, evidence="run-7")).values()
    assert (move.kind, move.evidence, move.from_version) == (kind, "run-7", "")


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
    assert dialect.moves_of({"trueband.move.1": value}, "champion") == {}


def test_the_copy_that_knows_of_the_end_counts() -> None:
    begun, done = told(tag(1, "1", "2", done=False)), told(tag(1, "1", "2"))
    for accounts in itertools.permutations([begun, done]):
        assert dialect.merged(accounts) == done


def test_a_promotion_is_one_step() -> None:
    known = told(tag(5, "1", "2"))
    [step] = dialect.path(Place(version="1"), "2", known)
    assert step == AliasStep(from_version="1", to_version="2", move=known["trueband.move.00000005"])


def test_without_a_tag_it_was_done_by_hand() -> None:
    assert dialect.path(Place(version="1"), "2", {}) == (AliasStep(from_version="1", to_version="2"),)
    assert dialect.path(Place(version="1"), "", {}) == (AliasStep(from_version="1", to_version=""),)


def test_an_old_move_to_where_it_is_now_does_not_sign_a_move_by_hand() -> None:
    known = told(tag(5, "1", "2"), tag(6, "2", "3"))
    [step] = dialect.path(Place(version="3", move="trueband.move.00000006"), "2", known)
    assert step == AliasStep(from_version="3", to_version="2")


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
    assert dialect.path(Place(version="1"), "2", known) == (AliasStep(from_version="1", to_version="2"),)


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


WHEN = 1_790_000_000.0


def tags_of(moves: list[Move]) -> list[dict[str, str]]:
    tags: dict[str, dict[str, str]] = {}
    for move in moves:
        for version in (move.to_version, move.from_version):
            if version:
                key, value = move.tag()
                tags.setdefault(version, {})[key] = value
    return list(tags.values())


def walk(steps: list[str]) -> Iterator[tuple[list[Move], str]]:
    """Moves made as `promotion` makes them; a step is a version to promote, or "back"."""
    done: list[Move] = []
    current = ""
    for step in steps:
        past = dialect.history(tags_of(done))
        target = step
        if step == "back":
            places = () if not current else dialect.earlier_places(past, "champion", current)
            if not places:
                continue
            target = places[0]
        if target == current:
            continue
        at = dialect.next_time(WHEN, past)
        done.append(
            Move(
                key=dialect.move_key(at),
                alias="champion",
                kind="rollback" if step == "back" else "promote",
                from_version=current,
                to_version=target,
                by="ada",
                reason="",
                at=at,
                done=True,
            )
        )
        current = target
        yield done, current


@given(
    st.lists(st.sampled_from(["1", "2", "3", "4", "back"]), max_size=12), st.randoms(use_true_random=False)
)
@settings(max_examples=200, deadline=None)
def test_history_laws(steps: list[str], shuffler: random.Random) -> None:
    for done, current in walk(steps):
        tags = tags_of(done)
        shuffler.shuffle(tags)
        read = dialect.history(tags)
        assert list(read) == done  # every move, in order, whatever order the versions come in
        places = dialect.earlier_places(read, "champion", current)
        assert current not in places
        assert len(set(places)) == len(places)
        assert set(places) <= {move.to_version for move in done}
        if done[-1].kind == "promote" and done[-1].from_version:
            assert places[0] == done[-1].from_version  # what a rollback undoes is the last promotion


def test_promotions_and_then_only_rollbacks_walk_the_way_back() -> None:
    *_, (_, last) = walk(["1", "2", "3", "4", "back", "back"])
    assert last == "2"
    *_, (_, last) = walk(["1", "2", "3", "back", "4", "back", "back"])
    assert last == "1"  # 3 was undone and does not come back


def test_history_leaves_out_what_is_not_ours() -> None:
    key, value = Move(
        key=dialect.move_key(WHEN),
        alias="champion",
        kind="promote",
        from_version="",
        to_version="1",
        by="a",
        reason="b",
        at=WHEN,
        done=True,
    ).tag()
    strange = {
        "trueband.move.a": "not json",
        "trueband.move.b": "[]",
        "trueband.move.c": "{}",
        "trueband.move.d": json.dumps({**json.loads(value), "kind": "teleport"}),
        "gate": value,
    }
    assert dialect.history([strange]) == ()
    assert len(dialect.history([{**strange, key: value}])) == 1


def moved(kind: str, origin: str | None, target: str, at: float, **changes: object) -> Move:
    fields: dict[str, object] = {
        "key": dialect.move_key(at),
        "alias": "champion",
        "kind": kind,
        "from_version": origin or "",
        "to_version": target,
        "by": "ada",
        "reason": "",
        "at": at,
        "done": True,
    }
    return Move(**(fields | changes))  # type: ignore[arg-type]


def test_what_stands_in_the_way_of_a_move_that_no_person_makes() -> None:
    first, second = moved("promote", None, "1", 1.0), moved("retrain", "1", "2", 2.0)
    back = moved("rollback", "2", "1", 3.0)
    confirmed = moved("promote", "1", "1", 4.0)
    assert dialect.standing([], "champion", None) is None
    assert dialect.standing([], "champion", "1") == "MOVED_BY_HAND"
    assert dialect.standing([first, second], "champion", "2") is None
    assert dialect.standing([first, second], "champion", "1") == "MOVED_BY_HAND"
    assert dialect.standing([first, second], "champion", None) == "MOVED_BY_HAND"
    assert dialect.standing([first, second, back], "champion", "1") == "ROLLED_BACK"
    assert dialect.standing([first, second, back, confirmed], "champion", "1") is None
    # Another alias, and what never came to its end, say nothing.
    other, begun = (
        moved("rollback", "2", "1", 5.0, alias="challenger"),
        moved("rollback", "2", "1", 5.0, done=False),
    )
    assert dialect.standing([first, second, other, begun], "champion", "2") is None


def test_tags_from_before_evidence_was_kept_are_still_read() -> None:
    key, value = moved("promote", "1", "2", 7.0).tag()
    fields = json.loads(value)
    del fields["evidence"]
    (move,) = dialect.history([{key: json.dumps(fields)}])
    assert (move.to_version, move.evidence) == ("2", "")

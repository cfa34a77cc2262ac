"""The history of an alias, as pure values: no registry needed."""

import json
import random
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from training.registry import alias_history
from training.registry.alias_history import Move

WHEN = 1_790_000_000.0


def tags_of(moves: list[Move]) -> list[dict[str, str]]:
    tags: dict[str, dict[str, str]] = {}
    for move in moves:
        for version in (move.to_version, move.from_version):
            if version is not None:
                key, value = move.tag()
                tags.setdefault(version, {})[key] = value
    return list(tags.values())


def walk(steps: list[str]) -> Iterator[tuple[list[Move], str]]:
    """Moves made as `promotion` makes them; a step is a version to promote, or "back"."""
    done: list[Move] = []
    current: str | None = None
    for step in steps:
        past = alias_history.moves(tags_of(done))
        target = step
        if step == "back":
            places = () if current is None else alias_history.earlier_places(past, "champion", current)
            if not places:
                continue
            target = places[0]
        if target == current:
            continue
        done.append(
            Move(
                alias="champion",
                kind="rollback" if step == "back" else "promote",
                from_version=current,
                to_version=target,
                by="ada",
                reason="",
                at=alias_history.next_time(WHEN, past),
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
        read = alias_history.moves(tags)
        assert list(read) == done  # every move, in order, whatever order the versions come in
        places = alias_history.earlier_places(read, "champion", current)
        assert current not in places
        assert len(set(places)) == len(places)
        assert set(places) <= {move.to_version for move in done}
        if done[-1].kind == "promote" and done[-1].from_version is not None:
            assert places[0] == done[-1].from_version  # what a rollback undoes is the last promotion


def test_promotions_and_then_only_rollbacks_walk_the_way_back() -> None:
    *_, (_, last) = walk(["1", "2", "3", "4", "back", "back"])
    assert last == "2"
    *_, (_, last) = walk(["1", "2", "3", "back", "4", "back", "back"])
    assert last == "1"  # 3 was undone and does not come back


def test_history_leaves_out_what_is_not_ours() -> None:
    key, value = Move(
        alias="champion",
        kind="promote",
        from_version=None,
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
    assert alias_history.moves([strange]) == ()
    assert len(alias_history.moves([{**strange, key: value}])) == 1


def made(kind: str, origin: str | None, target: str, at: float, **changes: object) -> Move:
    fields: dict[str, object] = {
        "alias": "champion",
        "kind": kind,
        "from_version": origin,
        "to_version": target,
        "by": "ada",
        "reason": "",
        "at": at,
        "done": True,
    }
    return Move(**(fields | changes))  # type: ignore[arg-type]


def test_what_stands_in_the_way_of_a_move_that_no_person_makes() -> None:
    first, second = made("promote", None, "1", 1.0), made("retrain", "1", "2", 2.0)
    back = made("rollback", "2", "1", 3.0)
    confirmed = made("promote", "1", "1", 4.0)
    assert alias_history.standing([], "champion", None) is None
    assert alias_history.standing([], "champion", "1") == "MOVED_BY_HAND"
    assert alias_history.standing([first, second], "champion", "2") is None
    assert alias_history.standing([first, second], "champion", "1") == "MOVED_BY_HAND"
    assert alias_history.standing([first, second], "champion", None) == "MOVED_BY_HAND"
    assert alias_history.standing([first, second, back], "champion", "1") == "ROLLED_BACK"
    assert alias_history.standing([first, second, back, confirmed], "champion", "1") is None
    # Another alias, and what never came to its end, say nothing.
    other, begun = (
        made("rollback", "2", "1", 5.0, alias="challenger"),
        made("rollback", "2", "1", 5.0, done=False),
    )
    assert alias_history.standing([first, second, other, begun], "champion", "2") is None


def test_tags_from_before_evidence_was_kept_are_still_read() -> None:
    key, value = made("promote", "1", "2", 7.0).tag()
    fields = json.loads(value)
    del fields["evidence"]
    (move,) = alias_history.moves([{key: json.dumps(fields)}])
    assert (move.to_version, move.evidence) == ("2", "")

"""`diff`: what a policy changes against another one, and what it would have changed in what was decided."""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calibrators import Calibrator
from sidecar import errors, shell, times
from sidecar.decision import difference, recompute
from sidecar.decision.difference import CellChange, Side
from sidecar.decision.recompute import Compiled
from sidecar.ledger import artifacts, queries
from sidecar.ledger.store import Ledger
from sidecar.policy import floors_file, loading
from sidecar.policy.actions import Intent

PAGE_SIZE = 1000


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "diff",
        help="say what one policy changes against another, and with --replay where decisions would have gone",
        description="Says what changes: every key, where review becomes or ceases to be mandatory, and every "
        "cell that gets another action. With --replay it decides what the ledger has again, under both.",
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="a policy file")
    parser.add_argument("new", type=Path, metavar="NEW", help="a policy file; the same one to compare floors")
    parser.add_argument("--floors", type=Path, metavar="FILE", help="the floors file that binds both")
    parser.add_argument("--new-floors", type=Path, metavar="FILE", help="the one that binds NEW, if another")
    parser.add_argument("--replay", action="store_true", help="decide again what the ledger has")
    parser.add_argument(
        "--since",
        type=times.when,
        metavar="WHEN",
        help="with --replay: what was decided from then on, so long ago, such as 7d, or a date",
    )
    shell.add_ledger(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the differences."""
    since = _since(arguments)
    floors = None if arguments.floors is None else floors_file.read(arguments.floors)
    new_floors = floors if arguments.new_floors is None else floors_file.read(arguments.new_floors)
    old = Side(policy=loading.read(arguments.old), floors=floors)
    new = Side(policy=loading.read(arguments.new), floors=new_floors)
    print("\n".join(_told(old, new)))
    if arguments.replay:
        with shell.snapshot(arguments) as ledger:
            print("\n".join(_replayed(ledger, old, new, since)))
    return 0


def _since(arguments: argparse.Namespace) -> float | None:
    if arguments.since is None:
        return None
    if not arguments.replay:
        raise errors.SettingsRefused("--since goes with --replay")
    named: times.When = arguments.since
    return named.seen_from(time.time())


def _told(old: Side, new: Side) -> Iterator[str]:
    before, after = old.tables(), new.tables()
    settings = difference.settings(old, new)
    if not settings:
        yield "The policies mean the same."
        return
    for name in sorted(before.keys() - after.keys()):
        yield f"MODEL {name} IS GONE: nothing is decided about its answers any more."
    for name in sorted(after.keys() - before.keys()):
        yield f"Model {name} is new."
    for name, acts_now in difference.modes(old, new):
        yield (
            f"MODEL {name}, observe -> enforce: WHAT WAS ONLY RECORDED ACTS FROM NOW ON."
            if acts_now
            else f"Model {name}, enforce -> observe: nothing acts any more."
        )
    yield f"\nKeys that change ({len(settings)}):"
    yield from (f"  {each.key}: {each.old} -> {each.new}" for each in settings)
    changes = difference.mandatory(old, new)
    yield "\nMandatory review:" if changes else "\nMandatory review: the same categories and confidences."
    for change in changes:
        where = f"model {change.model}, category {change.category}, {change.lower:g} to {change.upper:g}"
        yield f"  gained: {where}" if change.gained else f"  LOST: {where}: REVIEW IS NOT MANDATORY ANY MORE"
    for detector in difference.lost_detectors(old, new):
        yield f"  LOST: detector {detector.name}: {detector.category} IS NOT LOOKED FOR AS IT WAS"
    cells = difference.cells(old, new)
    yield f"\nActions that change ({len(cells)}):" if cells else "\nActions that change: none."
    yield from (f"  {_cell(each)}" for each in cells)
    for each in settings:
        if each.key.endswith(".band_on"):
            yield (
                f"  {each.key} changes which number the bands are cut on, so that answers move though no cell does: "
                "--replay counts them"
            )


def _cell(change: CellChange) -> str:
    where = f"model {change.model}, category {change.category}, {change.lower:g} to {change.upper:g}"
    return f"{where}, {', '.join(change.states)}: {change.old} -> {change.new}"


def _replayed(ledger: Ledger, old: Side, new: Side, since: float | None) -> Iterator[str]:
    sides = recompute.compile_side(old), recompute.compile_side(new)
    moves: Counter[tuple[str, str]] = Counter()
    left_out: Counter[str] = Counter()
    for before, after in _outcomes(ledger, sides, since, left_out):
        moves[before, after] += 1
    total = moves.total()
    moved = sum(count for (before, after), count in moves.items() if before != after)
    share = f" ({moved / total:.2%})" if total else ""
    yield f"\nReplay: {moved} of {total} recorded answers would have gone elsewhere{share}."
    yield from (f"  left out: {count} {why}" for why, count in sorted(left_out.items()))
    if not total:
        return
    widest = max(len(before) for before, _ in moves)
    yield f"  {'from':<{widest}}    to"
    ordered = sorted(moves.items(), key=lambda item: (item[0][0] == item[0][1], -item[1], item[0]))
    for (before, after), count in ordered:
        yield f"  {before:<{widest}} -> {after if after != before else '(the same)'}: {count}"


def _outcomes(
    ledger: Ledger, sides: tuple[Compiled, Compiled], since: float | None, left_out: Counter[str]
) -> Iterator[tuple[str, str]]:
    known: dict[str, Calibrator | None] = {}
    token = ""
    while True:
        page = ledger.read(
            queries.decisions, tenant=None, decided_from=since, page_size=PAGE_SIZE, page_token=token
        )
        for answer in (answer for stored in page.items for answer in stored.answers):
            digest = "" if answer.provenance.calibrator is None else answer.provenance.calibrator.digest
            if digest and digest not in known:
                known[digest] = ledger.read(artifacts.calibrator_of, digest)
            calibrator = known[digest] if digest else None
            if answer.query.intent is Intent.SHADOW:
                left_out["shadow answers, which never act"] += 1
            elif digest and calibrator is None:
                left_out["whose calibrator the ledger does not have"] += 1
            else:
                yield (
                    recompute.outcome(answer, calibrator, sides[0]),
                    recompute.outcome(answer, calibrator, sides[1]),
                )
        token = page.next_page_token
        if not token:
            return

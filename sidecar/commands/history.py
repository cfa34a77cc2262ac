"""`history`: who changed what decides, and how far challengers agree with champions, from the ledger."""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from sidecar import shell, times
from sidecar.decision import suspensions
from sidecar.decision.records import Governance
from sidecar.decision.suspensions import Suspension
from sidecar.ledger import governance, shadow
from sidecar.ledger.governance import TraceEvent, moment
from sidecar.ledger.shadow import ShadowCount

SHOWN_DIGITS = 19
"""Of a digest: `sha256:` and twelve more."""


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "history",
        help="say who changed what decides: promotions, rollbacks, policies, suspensions",
        description="Says, from the ledger, who promoted, rolled back, revoked, moved an alias by hand, changed the "
        "policy or its floors, suspended and resumed, oldest first; and how far challengers agree with champions.",
    )
    parser.add_argument(
        "--since",
        type=times.when,
        metavar="WHEN",
        help="only what happened from then on: so long ago, such as 30d, or a date (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    shell.add_ledger(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the history."""
    since = None if arguments.since is None else arguments.since.seen_from(time.time())
    with shell.snapshot(arguments) as ledger:
        events, counts = ledger.read(governance.history, since), ledger.read(shadow.counts, since=since)
    if arguments.json:
        print(
            json.dumps(
                {"events": msgspec.to_builtins(events), "shadow": msgspec.to_builtins(counts)}, indent=2
            )
        )
        return 0
    lines = [*(line for event in events for line in _told(event)), *_agreement(counts)]
    shell.show(lines or ["nothing has changed, as far as the ledger knows"])
    return 0


def _told(event: TraceEvent) -> Iterator[str]:
    when = times.utc(moment(event))
    if isinstance(event, Governance):
        change = f"{_brief(event.from_) or 'nothing'} -> {_brief(event.to) or 'nothing'}"
        if event.kind == "REVOKED":
            change = f"version {event.to}"
        evidence = f", evidence {_line(event.evidence)}" if event.evidence else ""
        yield f"{when}  {event.kind:17}  {_line(event.subject)}  {change}  by {_line(event.by)}{evidence}"
        said = event.reason
    elif isinstance(event, Suspension):
        yield f"{when}  {'SUSPENDED':17}  {suspensions.text(event.scope)}  by {_line(event.suspended_by)}"
        said = event.explanation
    else:
        yield f"{when}  {'RESUMED':17}  {event.suspension_id}  by {_line(event.resumed_by)}"
        said = event.explanation
    if said.strip():
        yield f"{'':25}{_line(said)}"


def _agreement(counts: Iterable[ShadowCount]) -> Iterator[str]:
    """What the challengers would have done otherwise, a block for each pair of calibrators."""
    pairs: dict[tuple[str, str, str], dict[tuple[str, str], int]] = {}
    for each in counts:
        bands = pairs.setdefault((each.model, each.champion, each.challenger), {})
        key = (each.band, each.shadow_band)
        bands[key] = bands.get(key, 0) + each.n
    for (model, champion, challenger), bands in pairs.items():
        total = sum(bands.values())
        agreed = sum(n for (band, shadow_band), n in bands.items() if band == shadow_band)
        yield (
            f"shadow of {model}: challenger {_brief(challenger)} beside champion {_brief(champion)}: "
            f"{agreed:,} of {total:,} answers in the same band ({agreed / total:.1%})"
        )
        yield from _moves(bands)


def _moves(bands: dict[tuple[str, str], int]) -> Iterator[str]:
    moved: Sequence[tuple[tuple[str, str], int]] = [
        item for item in bands.items() if item[0][0] != item[0][1]
    ]
    for (band, shadow_band), n in sorted(moved, key=lambda item: (-item[1], item[0])):
        yield f"  {band or 'no band'} -> {shadow_band or 'no band'}: {n:,}"


def _brief(text: str) -> str:
    """A digest's beginning; anything else as it is."""
    return text[:SHOWN_DIGITS] if text.startswith("sha256:") else _line(text)


def _line(text: str) -> str:
    """On one line: tags and reasons are whatever somebody wrote."""
    return shell.printable(" ".join(text.split()))

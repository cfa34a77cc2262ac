"""`recall`: which decisions acted only because of one calibrator."""

import argparse
import csv
import functools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sidecar import shell, times

if TYPE_CHECKING:
    from calibrators import Calibrator
    from sidecar.decision.records import Decision
    from sidecar.ledger.queries import StoredDecision
    from sidecar.ledger.store import Ledger
    from sidecar.policy.tables import ModelTable
    from training.recall import Deciding, Recalled

PAGE_SIZE = 1000
IDENTITY, NOTHING = "identity", "none"
COLUMNS = (
    "decision_id",
    "subject_ref",
    "tenant",
    "model",
    "category",
    "decided_at",
    "band_then",
    "band_now",
    "action_now",
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "recall",
        help="list the decisions that acted only because of a calibrator",
        description="Decides again what acted with a calibrator, as if another had been in force instead, and "
        "lists what would not have acted. Counts come first, then the list as CSV.",
    )
    parser.add_argument(
        "--calibrator",
        required=True,
        metavar="DIGEST",
        help="its digest, or the beginning of it if that is unique",
    )
    parser.add_argument(
        "--instead",
        metavar="DIGEST|identity|none",
        help="what would have decided in its place (default: what was in force in its place before it, and where "
        "nothing was, nothing)",
    )
    parser.add_argument(
        "--since",
        type=times.when,
        metavar="WHEN",
        help="only decisions from then on: so long ago, such as 12h, or a date",
    )
    shell.add_ledger(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="one JSON document in place of counts and CSV")
    output.add_argument(
        "--out", type=Path, metavar="FILE", help="write the CSV to a file; print the counts only"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the counts, and what would not have acted."""
    from training import recall

    since = None if arguments.since is None else arguments.since.seen_from(time.time())
    with shell.snapshot(arguments) as ledger:
        digest = _digest(ledger, arguments.calibrator, "--calibrator")
        deciding = _deciding(ledger, digest, arguments.instead)
        answers = [
            answer
            for stored in _decisions(ledger, since)
            if (answer := recall.recalled(stored, digest, deciding)) is not None
        ]
    numbers = recall.counts(answers)
    listed = [answer for answer in answers if answer.effect == "ONLY_BECAUSE"]
    if arguments.json:
        document = {
            "calibrator": digest,
            "instead": arguments.instead or "what was in force before",
            "acted": len(answers),
            **{effect.lower(): number for effect, number in numbers.items()},
            "decisions": [_row(answer) | {"instead": answer.instead} for answer in listed],
            "cannot_be_decided_again": [
                {"decision_id": answer.decision.decision_id, "because": answer.problem}
                for answer in answers
                if answer.effect == "UNKNOWN"
            ],
        }
        print(json.dumps(document, indent=2))
        return 0
    print(f"{len(answers)} decisions acted with calibrator {digest}.")
    print(f"  {numbers['ONLY_BECAUSE']} only because of it: they would not have acted otherwise.")
    print(f"  {numbers['ANYWAY']} would have acted anyway.")
    print(f"  {numbers['UNKNOWN']} cannot be decided again.")
    for problem in sorted({answer.problem for answer in answers if answer.effect == "UNKNOWN"}):
        shell.show([f"    {problem}"])
    if arguments.out is not None:
        _write(arguments.out, listed)
    elif listed:
        print()
        _csv(sys.stdout, listed, cell=lambda value: shell.printable(_harmless(value)))
    return 0


def _deciding(ledger: "Ledger", digest: str, instead: str | None) -> "Deciding":
    import calibrators
    from sidecar.ledger import artifacts, queries
    from training import errors, recall
    from training.data import policies

    def calibrator_of(wanted: str) -> "Calibrator":
        calibrator = ledger.read(artifacts.calibrator_of, wanted)
        if calibrator is None:
            raise errors.RequestRefused(f"the ledger does not have calibrator {wanted}")
        return calibrator

    def table_of(key: tuple[str, str, str]) -> "ModelTable":
        return policies.table_behind(ledger, *key)

    known_calibrator, known_table = functools.cache(calibrator_of), functools.cache(table_of)
    own = known_calibrator(digest)
    slots = ledger.read(queries.calibrator_slots, digest)

    def before_it(answer: "Decision", slot: str) -> "Calibrator | None":
        found = recall.before_it(slots, answer, slot, digest)
        return known_calibrator(found) if found else None

    fixed: Calibrator | None = None
    if instead == IDENTITY:
        fixed = calibrators.Calibrator(map=calibrators.Identity(), applies_to=own.applies_to)
    elif instead not in (None, NOTHING):
        fixed = known_calibrator(_digest(ledger, instead, "--instead"))
    return recall.Deciding(
        table_of=lambda answer: known_table(
            (answer.provenance.policy_digest, answer.provenance.floors_digest, answer.query.model)
        ),
        calibrator_of=known_calibrator,
        instead=before_it if instead is None else lambda _answer, _slot: fixed,
    )


def _digest(ledger: "Ledger", wanted: str, flag: str) -> str:
    """The whole digest of a calibrator in the ledger.

    Raises:
        RequestRefused: there is none that begins so, or several.
    """
    from sidecar.ledger import artifacts
    from training import errors

    text = wanted.lower().removeprefix("sha256:")
    if not text or set(text) - set("0123456789abcdef"):
        raise errors.RequestRefused(f"{flag} {wanted}: a digest is sha256: and hexadecimal digits")
    matching = ledger.read(artifacts.calibrator_digests, text)
    if not matching:
        raise errors.RequestRefused(f"{flag} {wanted}: no calibrator in the ledger has such a digest")
    if len(matching) > 1:
        raise errors.RequestRefused(
            f"{flag} {wanted}: {len(matching)} calibrators begin so ({', '.join(matching[:3])}): give more of it"
        )
    return matching[0]


def _decisions(ledger: "Ledger", since: float | None) -> "Iterator[StoredDecision]":
    from sidecar.ledger import queries

    token = ""
    while True:
        page = ledger.read(queries.decisions, decided_from=since, page_size=PAGE_SIZE, page_token=token)
        yield from page.items
        token = page.next_page_token
        if not token:
            return


def _row(answer: "Recalled") -> dict[str, str]:
    decision = answer.decision
    values = (
        decision.decision_id,
        decision.query.subject_ref,
        decision.query.tenant,
        decision.query.model,
        decision.query.category,
        times.rfc3339(decision.decided_at),
        answer.then,
        answer.now,
        answer.action,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _harmless(value: str) -> str:
    """A cell that no spreadsheet takes for a formula: callers choose what subjects are called."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _csv(target: TextIO, listed: "Iterable[Recalled]", *, cell: "Callable[[str], str]" = _harmless) -> None:
    writer = csv.DictWriter(target, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in _row(each).items()} for each in listed)


def _write(path: Path, listed: "Iterable[Recalled]") -> None:
    from training import errors

    try:
        with path.open("w", encoding="utf-8", newline="") as target:
            _csv(target, listed)
    except OSError as problem:
        raise errors.RequestRefused(f"--out {path}: cannot be written ({problem.strerror})") from problem
    print(f"Wrote {path}.")

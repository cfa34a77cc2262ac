"""`import-labels`: tells a running sidecar what a file says turned out to be true."""

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from sidecar import client, shell
from training import errors
from training.label_import import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.label_import.delivery import RowOutcome
    from training.label_import.rows import LabelRow, Mistake

SHOWN = 20


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "import-labels",
        help="send the labels of a CSV or Parquet file to a running sidecar",
        description=f"Each row is a label: a decision_id and one of {', '.join(rows.VALUES)}; other columns may be "
        f"{', '.join(field for field in rows.FIELDS if field not in ('decision_id', *rows.VALUES))}. A row without "
        "an event_id gets one from its content, so that a file may be sent again. Labels of the channels "
        "IMPORTED, OUTCOME and VOLUNTEERED were not drawn with a known probability and never enter an estimate; "
        "those of a review or audit task, with its task_id, do. Ends with 1 if a row was refused.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the .csv or .parquet file")
    parser.add_argument("--source", required=True, help="the system that says so, such as crm")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="the column of a field, where it has another name; may be repeated",
    )
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="NAME", help="a column to leave out; may be repeated"
    )
    parser.add_argument(
        "--channel",
        choices=get_args(rows.Channel),
        default="IMPORTED",
        help="how the labels came about, where the file has no such column (default: IMPORTED)",
    )
    parser.add_argument(
        "--about",
        choices=get_args(rows.About),
        default="FINAL",
        help="whose answers they judge, where the file has no such column (default: FINAL)",
    )
    parser.add_argument("--dry-run", action="store_true", help="check the file, and send nothing")
    parser.add_argument(
        "--allow-unknown",
        action="store_true",
        help="send even if the ledger shows none of the first decisions; their labels wait for them",
    )
    parser.add_argument("--outcomes", type=Path, metavar="FILE", help="write what became of each row, as CSV")
    client.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints how many rows came to what, and the first that were refused."""
    from training.label_import import rows
    from training.label_import.rows import LabelRow

    numbered = rows.read(arguments.file, renamed=_renamed(arguments.column), ignored=arguments.ignore)
    parsed = [
        rows.parse(number, cells, source=arguments.source, channel=arguments.channel, about=arguments.about)
        for number, cells in numbered
    ]
    usable = [row for row in parsed if isinstance(row, LabelRow)]
    mistakes = [row for row in parsed if not isinstance(row, LabelRow)]
    if arguments.dry_run or not usable:
        for mistake in mistakes[:SHOWN]:
            shell.show([f"row {mistake.number}: {mistake.message}"])
        print(f"{len(usable):,} rows could be sent, {len(mistakes):,} could not; nothing was sent")
        return 1 if mistakes else 0
    outcomes = [*_sent(arguments, usable), *map(_refused, mistakes)]
    outcomes.sort(key=lambda outcome: outcome.number)
    if arguments.outcomes is not None:
        _write(arguments.outcomes, outcomes)
    return _told(outcomes)


def _sent(arguments: argparse.Namespace, usable: "Sequence[LabelRow]") -> "list[RowOutcome]":
    from rich.console import Console
    from rich.progress import Progress

    from training.label_import import delivery

    outcomes: list[RowOutcome] = []
    token = client.token_of(arguments.token_file)
    try:
        with client.connect(arguments.address, token=token) as opened:
            looked_up = None if arguments.allow_unknown else delivery.known_decisions(opened, usable)
            if looked_up is not None and looked_up[0] == 0:
                raise errors.RequestRefused(
                    f"the sidecar knows none of the first {looked_up[1]} decisions that {arguments.file} names: is the "
                    "right column called decision_id, and is this the right sidecar? Decisions reach the ledger "
                    "within moments; --allow-unknown sends all the same"
                )
            with Progress(console=Console(stderr=True), transient=True) as progress:
                bar = progress.add_task("Labels sent", total=len(usable))
                outcomes.extend(
                    delivery.send(
                        opened,
                        usable,
                        arguments.source,
                        on_sent=lambda count: progress.update(bar, advance=count),
                    )
                )
    except client.CallFailed as error:
        raise client.CallFailed(
            f"{error}; {len(outcomes):,} of {len(usable):,} rows were sent before; sending the file again is safe"
        ) from error
    return outcomes


def _refused(mistake: "Mistake") -> "RowOutcome":
    from training.label_import.delivery import RowOutcome

    return RowOutcome(
        number=mistake.number,
        decision_id=mistake.decision_id,
        event_id="",
        status="REJECTED",
        reason="ROW_UNUSABLE",
        message=mistake.message,
    )


def _write(path: Path, outcomes: "Sequence[RowOutcome]") -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(("row", "decision_id", "event_id", "status", "reason", "message"))
            for each in outcomes:
                writer.writerow(
                    (each.number, each.decision_id, each.event_id, each.status, each.reason, each.message)
                )
    except OSError as error:
        print(
            f"{path}: cannot be written: {error.strerror}; what became of each row is lost", file=sys.stderr
        )


def _told(outcomes: "Sequence[RowOutcome]") -> int:
    refused = [each for each in outcomes if each.status == "REJECTED"]
    for each in refused[:SHOWN]:
        shell.show([f"row {each.number}: {each.reason}: {each.message}"])
    if len(refused) > SHOWN:
        print(f"... and {len(refused) - SHOWN:,} more rows; --outcomes FILE has them all")
    counts = Counter(each.status for each in outcomes)
    print(
        f"{counts['ACCEPTED']:,} labels accepted, {counts['DUPLICATE']:,} known already, "
        f"{counts['REJECTED']:,} refused"
    )
    return 1 if refused else 0


def _renamed(given: "Sequence[str]") -> dict[str, str]:
    renamed = {}
    for text in given:
        field, separator, name = text.partition("=")
        if not separator or not field or not name:
            raise errors.RequestRefused(f"--column {text}: write FIELD=NAME")
        renamed[field.strip()] = name.strip()
    return renamed

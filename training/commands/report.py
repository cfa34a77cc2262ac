"""`report`: what each band and category promised, and what the ledger's labels show of it."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import shell, times
from training.commands import ledger_source

if TYPE_CHECKING:
    from training.report.content import Report

STANDARD_OUTPUT = "-"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "report",
        help="say what each band and category promised, and what labels show of it",
        description="Estimates, from labels that were drawn with a known probability, how accurate the decisions of "
        "each band and category were, and judges the policy's promises: SHOWN, NOT SHOWN, BROKEN or TOO FEW. Versions "
        "of a model are different models, and told apart.",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="M",
        help="a key of the policy's models (default: all; may be repeated)",
    )
    ledger_source.add_arguments(parser)
    parser.add_argument(
        "--since",
        type=times.when,
        metavar="WHEN",
        help="only decisions from then on: so long ago, such as 30d, a date, or a time (default: all)",
    )
    parser.add_argument(
        "--until", type=times.when, metavar="WHEN", help="only decisions before (default: now)"
    )
    parser.add_argument(
        "--as-of", type=times.when, metavar="WHEN", help="the report as it was known then (default: now)"
    )
    parser.add_argument(
        "--pool", action="store_true", help="take the versions of a model together, as if they were one model"
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=STANDARD_OUTPUT,
        metavar="FILE",
        help="write the report as JSON, without FILE to standard output in place of the tables",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    parser.add_argument(
        "--mlflow",
        action=argparse.BooleanOptionalAction,
        help="log it to the experiment trueband-report (default: where MLFLOW_TRACKING_URI is set)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Makes the report, and writes it where it was asked for."""
    report = _report(arguments)
    from training import console
    from training.report import console as band_console
    from training.report import document, page

    text = document.dumps(report)
    if arguments.json == STANDARD_OUTPUT:
        print(text, end="")
    else:
        band_console.show(report, console.console())
        if arguments.json is not None:
            _write(Path(arguments.json), text)
    wanted = arguments.mlflow
    if arguments.html is None and wanted is False:
        return 0
    from training.commands import registration
    from training.registry import reports

    if wanted is None:
        wanted = reports.is_configured()
    if arguments.html is None and not wanted:
        return 0
    html = page.render(report)
    if arguments.html is not None:
        _write(arguments.html, html)
    if wanted:
        registration.warn()
        _log(report, {"report.html": html, "report.json": text}, asked=bool(arguments.mlflow))
    return 0


def _report(arguments: argparse.Namespace) -> "Report":
    from sidecar.ledger import database
    from training.report import content, window

    with shell.snapshot(arguments) as ledger:
        now = ledger.read(database.now)
        wanted = window.of(since=arguments.since, until=arguments.until, as_of=arguments.as_of, now=now)
        given = ledger_source.policy(arguments)
        only = arguments.model[0] if len(arguments.model) == 1 else ""
        loaded = given or window.policy_at(ledger, only, wanted.as_of)
        for name in arguments.model:
            ledger_source.model(loaded, name)
        return content.build(
            ledger,
            loaded,
            window.floors_at(ledger, wanted.as_of),
            models=tuple(dict.fromkeys(arguments.model)) or tuple(loaded.policy.models),
            window=wanted,
            pool=arguments.pool,
            now=time.time(),
        )


def _write(path: Path, text: str) -> None:
    from training import errors

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise errors.RequestRefused(
            f"{path}: cannot be written ({error.strerror}); name another file"
        ) from error


def _log(report: "Report", documents: dict[str, str], *, asked: bool) -> None:
    """Logs to MLflow; where nobody asked for that, a server that is away must not cost the report."""
    from training import registry
    from training.registry import reports
    from training.report import runs

    try:
        logged = reports.log(runs.of(report), documents)
    except registry.RegistryRefused as refusal:
        if asked:
            raise
        print(f"not logged to MLflow [{refusal.code}]: {refusal}", file=sys.stderr)
        return
    if logged:
        print(f"logged to MLflow, experiment {reports.EXPERIMENT}: run {', '.join(logged)}", file=sys.stderr)

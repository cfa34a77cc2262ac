"""`replay`: runs a history of one's own through the whole loop, as if it had been live."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import times
from training.commands import flags, labelled_file

if TYPE_CHECKING:
    from sidecar.policy.loading import LoadedPolicy
    from training.replay.simulation import Plan, ReplayStep


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "replay",
        help="run a history of your own through policy, audits, watch and retrain, as if it had been live",
        description="Decides every row of a labelled history under a policy, draws audits, lets the loop learn from "
        "the labels that it would have had and from no others, and shows what became of each band, the alarms, the "
        "promotions and the labels spent, beside what was true. Columns: time, score, correct, and category "
        "if there is one. Alarms are looked for, and bands suspended, at the end "
        "of each interval between retrains; a suspension is taken to be lifted at the next "
        "promotion. Nothing is registered and nothing else is written.",
    )
    labelled_file.add_arguments(parser)
    parser.set_defaults(time_column="time")
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE", help="the policy")
    parser.add_argument("--floors", type=Path, metavar="FILE", help="the floors that bind it (default: none)")
    parser.add_argument("--model", metavar="NAME", help="of the policy's models (default: the only one)")
    parser.add_argument(
        "--calibrator",
        type=Path,
        metavar="FILE",
        help="the document to begin with (default: none, so that everything is held until the first retrain)",
    )
    parser.add_argument(
        "--audit-rate", type=float, metavar="SHARE", help="in place of the policy's audit rates, such as 0.05"
    )
    parser.add_argument(
        "--retrain-every",
        type=_an_hour_or_more,
        default="7d",
        metavar="7d",
        help="between two retrains (default: 7d)",
    )
    parser.add_argument(
        "--label-delay",
        type=times.length,
        default="1d",
        metavar="1d",
        help="from a decision to its label (default: 1d)",
    )
    parser.add_argument(
        "--label-window",
        type=_an_hour_or_more,
        metavar="90d",
        help="only labels of decisions this recent fit (default: all)",
    )
    parser.add_argument(
        "--period", choices=("day", "week", "month", "quarter"), help="of the table (default: what fits)"
    )
    flags.add_seed(parser, "draws and folds")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything that is shown as JSON, too"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows what would have been."""
    from rich.console import Console
    from rich.progress import Progress

    from sidecar.policy import loading
    from training import console, errors
    from training.data import files
    from training.replay import chronicle, periods, routing, simulation

    loaded = loading.read(arguments.policy)
    if arguments.category_column is None and "category" in files.column_names(arguments.from_file):
        arguments.category_column = "category"
    history = routing.history_of(labelled_file.read(arguments))
    plan = _plan(arguments, loaded)
    steps: list[ReplayStep] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(
            "Days lived through", total=(history.times[-1] - history.times[0]) / times.DAY_SECONDS
        )
        for step in simulation.live(history, plan):
            steps.append(step)
            progress.update(bar, advance=plan.retrain_seconds / times.DAY_SECONDS)
    period = arguments.period or periods.fitting(history)
    table = periods.of(history, steps, period)
    screen = console.console()
    chronicle.show(screen, history, steps, table, plan=plan, period=period)
    if arguments.json is not None:
        document = chronicle.document(history, steps, table, plan=plan, period=period, policy=loaded.digest)
        try:
            arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise errors.RequestRefused(f"{arguments.json} cannot be written: {error.strerror}") from error
    return 0


def _plan(arguments: argparse.Namespace, loaded: "LoadedPolicy") -> "Plan":
    from sidecar.policy import floors_file
    from training import errors
    from training.commands import ledger_source
    from training.replay import routing
    from training.replay.simulation import Plan

    models = loaded.policy.models
    if arguments.model is None and len(models) > 1:
        raise errors.RequestRefused(
            f"the policy has several models ({', '.join(models)}): name one with --model"
        )
    model = arguments.model or next(iter(models))
    entry = ledger_source.model(loaded, model)
    if arguments.audit_rate is not None and not 0.0 <= arguments.audit_rate <= 1.0:
        raise errors.RequestRefused(
            f"--audit-rate {arguments.audit_rate:g} is no share: it lies between 0 and 1"
        )
    calibrator = None if arguments.calibrator is None else flags.calibrator(arguments.calibrator)
    floors = None if arguments.floors is None else floors_file.read(arguments.floors).floors
    return Plan(
        model=model,
        entry=entry,
        table=routing.table_of(loaded.policy, model, floors),
        calibrator=None if calibrator is None else routing.serving(calibrator, model, entry),
        key=hashlib.sha256(f"trueband replay {arguments.seed}".encode()).digest(),
        seed=arguments.seed,
        audit_rate=arguments.audit_rate,
        retrain_seconds=arguments.retrain_every,
        label_seconds=arguments.label_delay,
        label_window_seconds=arguments.label_window,
    )


def _an_hour_or_more(text: str) -> float:
    seconds = times.length(text)
    if seconds < times.HOUR_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is too short: at least an hour")
    return seconds

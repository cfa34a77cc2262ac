"""`retrain`: the ledger's labels into a challenger, and the gate's verdict on it."""

import argparse
import time

from sidecar import shell, times
from training.commands import flags, ledger_source


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "retrain",
        help="fit a challenger to the ledger's labels, and judge it against the champion",
        description="Fits a challenger to the earlier labels of the ledger and judges it against the champion on the "
        "later ones. Recent decisions are routed again under both: a shift of the automatic share beyond the policy's "
        "admission.max_auto_shift needs a person, and so does a champion that was rolled back or moved by hand "
        "(`promote`). The challenger is registered with its evidence in any case; --promote moves the alias "
        "champion if the gate accepts. Exit code 0 includes `kept the champion, here is why`.",
    )
    parser.add_argument("--model", required=True, metavar="M", help="a key of the policy's models")
    ledger_source.add_arguments(parser)
    parser.add_argument("--name", metavar="NAME", help="the registered model (default: as in the policy)")
    parser.add_argument(
        "--source",
        choices=("primary", "secondary"),
        default="primary",
        help="whose answers: the model's, or those of the fallback chain's secondary (default: primary); what "
        "rules are worth is measured by `rules`",
    )
    flags.add_versions(parser)
    parser.add_argument(
        "--since",
        type=times.when,
        metavar="WHEN",
        help="only decisions from then on: so long ago, such as 30d, or a date (default: all)",
    )
    parser.add_argument("--promote", action="store_true", help="move the alias champion if the gate accepts")
    parser.add_argument("--by", metavar="WHO", help="who asks (default: the user of this computer)")
    flags.add_seed(parser, "folds and bootstraps")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Retrains, and prints the verdict with its reasons."""
    from training import console, errors, registry
    from training.commands import registration
    from training.retraining import pipeline

    registration.warn()
    screen = console.console()
    try:
        with shell.snapshot(arguments) as ledger:
            retrained = pipeline.retrain(
                ledger,
                arguments.model,
                policy=ledger_source.policy(arguments),
                name=arguments.name,
                source=arguments.source,
                model_versions=tuple(arguments.model_version),
                pool=arguments.any_version,
                since=None if arguments.since is None else arguments.since.seen_from(time.time()),
                promote=arguments.promote,
                by=arguments.by or registry.person(),
                seed=arguments.seed,
            )
    except errors.NotEnoughLabels as reason:
        screen.print(f"Kept the champion: {reason}.", markup=False)
        return 0
    console.show_retrain(screen, retrained)
    return 0

"""`demo`: the main job, end to end, on real data."""

import argparse
import signal
import sys
from pathlib import Path

from training.commands import flags

LEAST_REQUESTS = 8000


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "demo",
        help="watch the main job, end to end, on real data",
        description="Starts MLflow and a sidecar on loopback, and tells the whole story on scikit-learn's digits: "
        "a first calibrator, routing, labels, a retrain, promotion. Takes about a minute.",
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    parser.add_argument(
        "--requests", type=int, default=20_000, metavar="N", help=f"default: 20000; at least {LEAST_REQUESTS}"
    )
    flags.add_seed(parser, "images, draws and folds", default=11)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tells the story."""
    from training import console, errors
    from training.demo.narration import Narrator
    from training.demo.story import Story

    if arguments.requests < LEAST_REQUESTS:
        raise errors.RequestRefused(
            f"--requests must be at least {LEAST_REQUESTS}: fewer leave nothing to see"
        )
    # As Ctrl-C does: whatever was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    narrator = Narrator(console.console())
    Story(arguments.out.absolute(), requests=arguments.requests, seed=arguments.seed, narrator=narrator).run()
    return 0

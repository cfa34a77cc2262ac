"""`spec`: the document that a policy stands for."""

import argparse
from pathlib import Path
from typing import Any

from sidecar.policy import loading, spec


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "spec", help="write the human document that a policy stands for, as Markdown"
    )
    parser.add_argument("policy", type=Path, metavar="POLICY", help="the policy file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the document."""
    print(spec.render(loading.read(arguments.policy)))
    return 0

"""`spec`: the document that a policy stands for."""

import argparse
from pathlib import Path
from typing import Any

from sidecar.decision import specification
from sidecar.policy import floors_file, loading


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "spec", help="write the human document that a policy stands for, as Markdown"
    )
    parser.add_argument("policy", type=Path, metavar="POLICY", help="the policy file")
    parser.add_argument("--floors", type=Path, metavar="FILE", help="the floors file that binds it")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the document."""
    floors = None if arguments.floors is None else floors_file.read(arguments.floors)
    print(specification.render(loading.read(arguments.policy), floors))
    return 0

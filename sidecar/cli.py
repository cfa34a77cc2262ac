"""The command line of the sidecar. Only the module of the command that is run is imported: most are quick."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import cast

from sidecar import ENGINE_VERSION, shell

COMMANDS = {
    "serve": "serve",
    "check": "check",
    "spec": "policy_spec",
    "diff": "diff",
    "route": "route",
    "label": "label",
    "review": "review",
    "status": "status",
    "suspend": "suspend",
    "resume": "suspend",
    "explain": "explain",
    "audit": "audit",
    "history": "history",
}
"""The module of each command, in the order in which a newcomer needs them."""


def parser(command: str = "") -> argparse.ArgumentParser:
    """The parser of one command, or of all of them where there is none of that name."""
    names = [COMMANDS[command]] if command in COMMANDS else list(dict.fromkeys(COMMANDS.values()))
    modules = [cast("shell.Command", importlib.import_module(f"sidecar.commands.{name}")) for name in names]
    return shell.parser(
        "trueband-sidecar",
        "Recalibrates confidences, bands them, routes answers and records what was decided.",
        modules,
        version=f"trueband {ENGINE_VERSION}",
    )


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; see `shell.run`."""
    given = sys.argv[1:] if words is None else words
    return shell.run(parser(given[0] if given else ""), given)

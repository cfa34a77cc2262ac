"""The command line of the sidecar."""

import argparse
from collections.abc import Sequence

from sidecar import ENGINE_VERSION, shell
from sidecar.commands import (
    audit,
    check,
    diff,
    explain,
    history,
    label,
    policy_spec,
    review,
    route,
    serve,
    status,
    suspend,
)

# In the order in which a newcomer needs them.
COMMANDS: tuple[shell.Command, ...] = (
    serve,
    check,
    policy_spec,
    diff,
    route,
    label,
    review,
    status,
    suspend,
    explain,
    audit,
    history,
)


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    return shell.parser(
        "trueband-sidecar",
        "Recalibrates confidences, bands them, routes answers and records what was decided.",
        COMMANDS,
        version=f"trueband {ENGINE_VERSION}",
    )


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; see `shell.run`."""
    return shell.run(parser(), words)

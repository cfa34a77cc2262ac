"""The command line of the sidecar."""

import argparse
import sys
from collections.abc import Sequence

from calibrators.errors import TruebandError
from sidecar import ENGINE_VERSION
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

COMMANDS = (
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
    top = argparse.ArgumentParser(
        prog="python -m sidecar",
        description="Recalibrates confidences, bands them, routes answers and records what was decided.",
    )
    top.add_argument("--version", action="version", version=f"trueband {ENGINE_VERSION}")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code. A mistake of the user's is one line on standard error, and 2."""
    given = parser().parse_args(arguments)
    try:
        code: int = given.run(given)
    except TruebandError as error:
        print(f"error [{error.code}]: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of the output, such as `head`, has gone.
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130
    return code

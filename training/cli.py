"""The command line of `training`: parses, calls one command, and turns our errors into exit code 2."""

import argparse
import sys
from collections.abc import Sequence
from typing import Protocol

from calibrators import errors
from training.commands import (
    bands,
    demo,
    evaluate,
    fit,
    import_labels,
    promote,
    recall,
    replay,
    report,
    retrain,
    rollback,
    rules,
    watch,
)


class Command(Protocol):
    """A module of `training.commands`: its parser sets `run`, from arguments to the exit code."""

    def add_parser(self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        """Adds the command's parser."""


# In the order in which a newcomer needs them.
COMMANDS: tuple[Command, ...] = (
    demo,
    replay,
    fit,
    evaluate,
    import_labels,
    report,
    watch,
    bands,
    retrain,
    rules,
    promote,
    rollback,
    recall,
)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = argparse.ArgumentParser(
        prog="python -m training",
        description="Turns labels into calibrators that can be trusted, and says how good they are.",
    )
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0, or 2 where it was refused, with one line on standard error saying why."""
    arguments = parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except errors.TruebandError as problem:
        print(f"error [{problem.code}]: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of the output, such as `head`, has gone.
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130
    return code

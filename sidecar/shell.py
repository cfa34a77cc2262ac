"""The command-line shell of `python -m sidecar` and `python -m training`: declares commands, and runs one.

A mistake of the user's is one line on standard error and exit code 2.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from calibrators.errors import TruebandError
from sidecar import ledger

if TYPE_CHECKING:
    from sidecar.ledger.store import Ledger

REFUSED, READER_GONE, INTERRUPTED = 2, 1, 130
"""Exit codes; a command that was run gives its own."""

LEDGER_URL_VARIABLE = "TRUEBAND_LEDGER_URL"
DATA_DIR_VARIABLE = "TRUEBAND_DATA_DIR"
DATA_DIR = "trueband-data"

_NEGATIVE = re.compile(r"-(?:[0-9]|\.[0-9]|inf|nan)")

BLANKS = dict.fromkeys("\t\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}", " ")
"""White space that is harmless, and is shown as a blank."""


class Command(Protocol):
    """A module of commands: its parsers set `run`, from arguments to the exit code."""

    def add_parser(self, subparsers: Any) -> None:
        """Declares them."""


def parser(
    program: str, description: str, commands: Iterable[Command], *, version: str = ""
) -> argparse.ArgumentParser:
    """The parser of a whole program.

    Args:
        program: as it is called.
        description: what it does.
        commands: in the order in which help lists them.
        version: what `--version` prints; empty: there is no such flag.
    """
    top = argparse.ArgumentParser(prog=program, description=description)
    if version:
        top.add_argument("--version", action="version", version=version)
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        command.add_parser(subparsers)
    return top


def run(top: argparse.ArgumentParser, words: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code.

    Args:
        top: the parser of the program.
        words: of the command line; None takes the process's own.
    """
    arguments = top.parse_args(list(joined(sys.argv[1:] if words is None else words)))
    try:
        code: int = arguments.run(arguments)
    except TruebandError as error:
        print(f"error [{error.code}]: {printable(str(error), lines=True)}", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:
        # The reader of the output, such as `head`, has gone.
        sys.stderr.close()
        return READER_GONE
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def joined(words: Iterable[str]) -> Iterator[str]:
    """The words, each long flag in one with the negative number, or list of numbers, that follows it.

    argparse takes a word such as `-0.01,-0.2` for a flag of its own.
    """
    flag = None
    for word in words:
        if flag is not None and _NEGATIVE.match(word):
            yield f"{flag}={word}"
            flag = None
            continue
        if flag is not None:
            yield flag
        flag = word if word.startswith("--") and len(word) > 2 and "=" not in word else None
        if flag is None:
            yield word
    if flag is not None:
        yield flag


def printable(text: str, *, lines: bool = False) -> str:
    """What may be shown at a terminal of a text that somebody else wrote.

    What could steer the terminal, turn around or hide what stands beside it, or begin another line becomes a
    replacement character: controls, bidirectional marks, characters without width, line and paragraph separators.

    Args:
        text: as it was written.
        lines: whether line feeds may stay, because each line is shown where it can pass for nothing else.
    """
    return "".join(
        each
        if each.isprintable() or (lines and each == "\n")
        else BLANKS.get(each, "\N{REPLACEMENT CHARACTER}")
        for each in text
    )


def show(lines: Iterable[str]) -> None:
    """Prints lines; whatever is written into one of them, it stays one."""
    for line in lines:
        print(printable(line))


def add_ledger(to: argparse.ArgumentParser) -> None:
    """Adds `--ledger-url` and `--data-dir`, which say which ledger a command reads."""
    to.add_argument(
        "--ledger-url",
        default=os.environ.get(LEDGER_URL_VARIABLE, ""),
        metavar="URL",
        help=f"of the ledger (default: {LEDGER_URL_VARIABLE}, or SQLite in the data directory)",
    )
    to.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get(DATA_DIR_VARIABLE) or DATA_DIR),
        metavar="DIR",
        help=f"of the sidecar: its ledger, and its keys (default: {DATA_DIR_VARIABLE}, or {DATA_DIR})",
    )


def ledger_url(arguments: argparse.Namespace) -> str:
    """The URL of the ledger that the flags of `add_ledger` name."""
    return arguments.ledger_url or ledger.url_in(arguments.data_dir)


def snapshot(arguments: argparse.Namespace) -> "AbstractContextManager[Ledger]":
    """A snapshot of the ledger that the flags of `add_ledger` name."""
    from sidecar.ledger.snapshot import open_snapshot  # the other commands need not wait for the database

    return open_snapshot(ledger_url(arguments))


def ledger_in_place(arguments: argparse.Namespace) -> "AbstractContextManager[Ledger]":
    """The ledger itself that the flags of `add_ledger` name, for what is soon read."""
    from sidecar.ledger.snapshot import open_in_place

    return open_in_place(ledger_url(arguments))

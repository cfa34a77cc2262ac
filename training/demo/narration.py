"""How the demo speaks: chapters, sentences, spinners, progress bars and the table of bands."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from training.measure import diagram, intervals
from training.measure.intervals import FloatArray

T = TypeVar("T")


class Narrator:
    """Writes the story to a screen."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen
        self._chapter = 0

    def title(self, text: str) -> None:
        """Begins a chapter."""
        self._chapter += 1
        self.screen.print()
        self.screen.print(f"[bold cyan]{self._chapter}. {text}[/bold cyan]")

    def say(self, text: str) -> None:
        """A sentence or two."""
        self.screen.print(text, markup=False)

    def show(self, item: RenderableType) -> None:
        """A table, or a line that may be longer than the screen is wide."""
        self.screen.print(item, soft_wrap=isinstance(item, str))

    def wait(self, what: str, work: Callable[[], T]) -> T:
        """Does some work of unknown length behind a spinner."""
        with self.screen.status(f"{what} ..."):
            return work()

    @contextlib.contextmanager
    def progress(self, total: int, what: str) -> Iterator[Callable[[int], None]]:
        """A bar; gives what moves it on by so many."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.screen) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)


def band_table(title: str, columns: dict[str, FloatArray], correct: FloatArray) -> Table:
    """Counts and true accuracy of each band, cut on each of several confidences, and whether it is kept.

    A band promises that at least the share of its lower edge is correct. The promise is broken where even
    the upper end of the 95 % Wilson interval is below that.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("band", no_wrap=True)
    table.add_column("promise", justify="right")
    for name in columns:
        table.add_column(f"{name}: answers", justify="right")
        table.add_column("correct", justify="right")
        table.add_column("promise kept")
    for band in diagram.DEFAULT_SPANS:
        cells = [
            f"{band.name} {band.low:.2f}-{band.high:.2f}",
            f"≥ {band.low:.0%}" if band.automatic else "-",
        ]
        for confidence in columns.values():
            inside = band.holds(confidence)
            count = int(inside.sum())
            share = float(correct[inside].mean()) if count else float("nan")
            kept = _kept(share, count, band.low) if count and band.automatic else "-"
            cells += [f"{count:,}", f"{share:.1%}" if count else "-", kept]
        table.add_row(*cells)
    return table


def _kept(share: float, count: int, promise: float) -> str:
    if share >= promise:
        return "yes"
    _, upper = intervals.wilson(share * count, count)
    return "[bold red]BROKEN[/]" if upper < promise else "within chance"

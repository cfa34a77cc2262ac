"""What the commands print: tables and sentences for people, on standard output."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from sidecar.shell import printable

if TYPE_CHECKING:
    from training.data.dataset import Dataset
    from training.fit.selection import Selection
    from training.measure.evaluation import Evaluation
    from training.retraining.account import Retrained
    from training.retraining.rerouting import Rerouted

WIDTH_OF_A_FILE = 120


class Screen(Console):
    """A console whose texts, whoever wrote them, cannot steer the terminal; what rich itself says to it still does."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of a renderable."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text, lines=True), style)


def console() -> Console:
    """A console on standard output; 120 columns wide where that is no terminal, so that tables fit."""
    screen = Screen(highlight=False, soft_wrap=False)
    return screen if screen.is_terminal else Screen(highlight=False, soft_wrap=False, width=WIDTH_OF_A_FILE)


def describe(dataset: "Dataset") -> str:
    """One line: how many labels of what kind."""
    parts = [f"{len(dataset):,} labels"]
    if dataset.n_effective < len(dataset) - 0.5:
        parts.append(f"{dataset.n_effective:,.0f} effective after weighting")
    parts.append(f"{dataset.positives:.1%} correct")
    parts.append(f"{dataset.distinct:,} distinct scores")
    if dataset.vectors is not None:
        parts.append(f"logits of {dataset.vectors.shape[1]} classes")
    start, end = dataset.window
    if start and end:
        parts.append(f"{start} to {end}")
    return ", ".join(parts)


def candidates_table(selection: "Selection") -> Table:
    """The selection's candidates, simplest first, the chosen one in bold."""
    table = _table("candidate")
    for heading in ("log-loss, cross-validated", "Brier score", "above the best, paired"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for candidate in selection.candidates:
        remark = candidate.excluded or ("uninformative" if candidate.uninformative else "")
        if candidate.kind == selection.kind:
            remark = "; ".join(part for part in ("chosen", remark) if part)
        cells = ("", "", "")
        if not candidate.excluded:
            cells = (
                f"{candidate.log_loss:.4f} \u00b1 {candidate.standard_error:.4f}",
                f"{candidate.brier:.4f}",
                f"{candidate.difference:.4f} \u00b1 {candidate.difference_standard_error:.4f}"
                if candidate.kind != selection.best
                else "best",
            )
        table.add_row(
            candidate.kind, *cells, remark, style="bold" if candidate.kind == selection.kind else None
        )
    return table


def evaluations_table(title: str, columns: Sequence[tuple[str, "Evaluation"]]) -> Table:
    """The measures of several confidences on the same labels, one column each."""
    table = _table(title)
    for heading, _ in columns:
        table.add_column(heading, justify="right")
    shares = ("ece", "mce", "ace")
    for name in ("log_loss", "brier", *shares, "mcb", "dsc", "unc"):
        cells = []
        for _, evaluation in columns:
            value = getattr(evaluation, name)
            text = f"{value:.2%}" if name in shares else f"{value:.5f}"
            if name == "ece":
                low, high = evaluation.ece_interval
                text += f" ({low:.2%} to {high:.2%})"
            cells.append(text)
        table.add_row(_NAMES.get(name, name), *cells)
    return table


def rerouting_table(rerouted: "Rerouted") -> Table:
    """Where recent decisions go under the champion and under the challenger, by pair of bands."""
    table = _table(f"band of the last {rerouted.shift.n:,} decisions, champion's")
    table.add_column("challenger's")
    table.add_column("decisions", justify="right")
    ordered = sorted(rerouted.bands.items(), key=lambda item: (item[0][0] == item[0][1], -item[1], item[0]))
    for (old, new), n in ordered:
        table.add_row(old, "the same" if new == old else new, f"{n:,} ({n / rerouted.shift.n:.1%})")
    return table


def show_retrain(screen: Console, retrained: "Retrained") -> None:
    """Prints what a retrain came to."""
    data = retrained.decisions
    screen.print(f"{retrained.name}: {describe(data.dataset)}", markup=False)
    for why, count in sorted(data.left_out.items()):
        screen.print(f"  left out: {count} {why}", markup=False)
    if data.undrawn is not None:
        screen.print(
            f"  {len(data.undrawn)} more were not drawn: they train, and judge nothing", markup=False
        )
    screen.print(candidates_table(retrained.chosen))
    screen.print(f"Chosen: {retrained.chosen.reason}.", markup=False)
    version = retrained.champion_version
    against = "raw" if version is None else f"champion (version {version})"
    screen.print(
        evaluations_table(
            "held-out labels, later than the fit",
            [(against, retrained.before), ("challenger", retrained.after)],
        )
    )
    if retrained.rerouted is not None and retrained.rerouted.shift.n:
        screen.print(rerouting_table(retrained.rerouted))
    screen.print(_VERDICTS[retrained.verdict.outcome], style="bold")
    for reason in retrained.verdict.reasons:
        mark = "✗" if reason.blocking else "•"
        screen.print(f"  {mark} {reason.code}: {reason.text}", markup=False)
    screen.print(
        f"Registered as version {retrained.version}, alias challenger"
        + (", and promoted: champion points at it." if retrained.promoted else "."),
        markup=False,
    )


def _table(first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="", pad_edge=False)
    table.add_column(first)
    return table


_NAMES = {
    "log_loss": "log-loss",
    "brier": "Brier score",
    "ece": "ECE, 15 bins (95% interval)",
    "mce": "MCE, largest gap of a bin",
    "ace": "ACE, mean gap of a bin",
    "mcb": "CORP miscalibration (lower is better)",
    "dsc": "CORP discrimination (higher is better)",
    "unc": "CORP uncertainty",
}

_VERDICTS = {
    "accepted": "The gate accepts the challenger:",
    "needs_a_person": "The gate keeps the champion until a person decides:",
    "kept_champion": "The gate keeps the champion:",
}

"""The reliability diagram, before and after, drawn from numbers that `training.measure.reliability` computes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend_handler import HandlerTuple
from matplotlib.ticker import PercentFormatter

from sidecar.policy.actions import AUTOMATIC_ACTIONS
from sidecar.policy.model import Band as PolicyBand
from training.measure.intervals import FloatArray
from training.measure.reliability import ReliabilityCurve

# From the colour-blind safe set of Okabe and Ito.
INK, GREY, FAINT = "#1f2933", "#7b8794", "#cbd2d9"
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
# Below 0 there is room for the bands' names, where no curve can run through them.
STRIP = -0.075

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BandSpan:
    """An interval of calibrated confidence, closed below and open above; one that ends at 1 is closed there.

    Attributes:
        name: as in the policy.
        low: the lower edge, which is what an automatic band promises: at least this share is correct.
        high: the upper edge, the next band's lower one.
        automatic: whether answers in it act without a person.
    """

    name: str
    low: float
    high: float
    automatic: bool

    def holds(self, confidence: FloatArray) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        """(n,) whether each confidence lies in the band."""
        below = confidence <= self.high if self.high >= 1.0 else confidence < self.high
        return (confidence >= self.low) & below


DEFAULT_SPANS = (
    BandSpan(name="auto", low=0.90, high=1.0, automatic=True),
    BandSpan(name="flagged", low=0.70, high=0.90, automatic=True),
    BandSpan(name="hold", low=0.50, high=0.70, automatic=False),
    BandSpan(name="reject", low=0.0, high=0.50, automatic=False),
)
"""The bands of a policy that names none."""


def spans(bands: Sequence[PolicyBand]) -> tuple[BandSpan, ...]:
    """The bands of a policy with both edges, from the highest down."""
    upper = 1.0
    placed = []
    for band in bands:
        lower = float(band.from_)
        automatic = band.action in AUTOMATIC_ACTIONS
        placed.append(BandSpan(name=band.name, low=lower, high=upper, automatic=automatic))
        upper = lower
    return tuple(placed)


def draw_reliability(
    before: ReliabilityCurve,
    after: ReliabilityCurve,
    target: str | Path | Figure | None = None,
    *,
    bands: Sequence[BandSpan] = (),
    title: str = "",
    names: tuple[str, str] = ("raw confidence", "calibrated confidence"),
) -> Figure:
    """Draws both curves side by side over their histograms, in the agreed colours, on Agg and without pyplot.

    Args:
        before: the left-hand curve.
        after: the right-hand curve.
        target: a path to write a PNG to (150 dpi), a figure to draw on, or None.
        bands: their edges become dotted lines with the names between them.
        title: above everything.
        names: of the two panels, which also label their horizontal axes.

    Returns:
        The figure, for whoever wants to keep it elsewhere.
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        if isinstance(target, Figure):
            figure = target
        else:
            figure = Figure(figsize=(11.0, 7.0))
            FigureCanvasAgg(figure)
        if figure.get_layout_engine() is None:
            figure.set_layout_engine(ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.09))
        figure.set_facecolor("white")
        panels: Any = figure.subplots(
            2, 2, sharex="col", sharey="row", gridspec_kw={"height_ratios": [3.6, 1.0]}
        )
        for column, (curve, name, colour) in enumerate(((before, names[0], ORANGE), (after, names[1], BLUE))):
            _draw_curve(panels[0][column], curve, name, colour, bands)
            _draw_histogram(panels[1][column], curve, name, colour, bands)
        # Below the panels, where no curve, interval or name of a band can be behind it.
        legend_below(figure, panels[0])
        panels[0][0].set_ylabel("share correct")
        panels[1][0].set_ylabel("share of answers")
        panels[0][0].set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
        if title:
            figure.suptitle(title, fontsize=13, fontweight="bold", color=INK)
        if isinstance(target, str | Path):
            figure.savefig(target, dpi=150, format="png")
    return figure


def _draw_curve(
    axes: Axes, curve: ReliabilityCurve, name: str, colour: str, bands: Sequence[BandSpan]
) -> None:
    axes.set_title(
        f"{name.capitalize()}\nECE {curve.ece:.2%} (n = {curve.n:,}, {curve.bins} bins)   "
        f"CORP MCB {curve.mcb:.5f}",
        fontsize=10.5,
        loc="left",
        color=INK,
    )
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.0, linestyle=(0, (5, 4)), label="perfect calibration")
    axes.plot(
        curve.corp_confidence,
        curve.corp_accuracy,
        color=GREEN,
        linewidth=1.8,
        alpha=0.85,
        label="CORP curve (isotonic, no bins)",
    )
    reach = [curve.accuracy - curve.low, curve.high - curve.accuracy]
    axes.errorbar(
        curve.confidence,
        curve.accuracy,
        yerr=reach,
        fmt="o",
        color=colour,
        ecolor=colour,
        elinewidth=1.2,
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.8,
        label="bin, with its 95% interval",
        zorder=3,
    )
    _draw_bands(axes, bands, named=True)
    axes.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
    axes.set_xlim(0.0, 1.012)
    axes.set_ylim(STRIP, 1.03)
    axes.grid(color=FAINT, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)


def legend_below(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels under everything; what each colour means there is said once."""
    shown: dict[str, list[Any]] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            shown.setdefault(label, []).append(handle)
    handles: list[Any] = [
        tuple(each) if len({_colour(one) for one in each}) > 1 else each[0] for each in shown.values()
    ]
    figure.legend(
        handles,
        list(shown),
        loc="outside lower center",
        ncols=len(shown),
        frameon=False,
        fontsize=9,
        handler_map={tuple: HandlerTuple(ndivide=None)},
    )


def _colour(handle: Any) -> str:
    """The colour of a line, or of the points that carry intervals."""
    line = handle[0] if isinstance(handle, ErrorbarContainer) else handle
    return str(line.get_color())


def _draw_histogram(
    axes: Axes, curve: ReliabilityCurve, name: str, colour: str, bands: Sequence[BandSpan]
) -> None:
    width = 1.0 / len(curve.histogram)
    edges = [position * width for position in range(len(curve.histogram))]
    axes.bar(edges, curve.histogram, width=width, align="edge", color=colour, alpha=0.75, linewidth=0)
    _draw_bands(axes, bands, named=False)
    axes.set_xlabel(name)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))


def _draw_bands(axes: Axes, bands: Sequence[BandSpan], *, named: bool) -> None:
    for band in bands:
        if band.low > 0.0:
            axes.axvline(band.low, color=GREY, linewidth=0.9, linestyle=":", zorder=1)
        if band.automatic and named:
            axes.axvspan(
                band.low,
                band.high if band.high < 1.0 else 1.012,
                color=GREEN,
                alpha=0.05,
                linewidth=0,
                zorder=0,
            )
        if named:
            middle = (band.low + band.high) / 2.0
            axes.text(middle, STRIP / 2.0, band.name, ha="center", va="center", fontsize=8.5, color=GREY)

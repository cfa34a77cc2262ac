"""The report as one HTML file that needs no other: inline style, figures as data, no script.

The figures say how reliable the confidence is, and how accurate each band was week by week.
"""

import base64
import io
from collections.abc import Sequence
from importlib import resources
from typing import Any

import jinja2
from matplotlib import dates as untyped_dates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from sidecar.policy.model import DEFAULT_CONFIDENCE
from training.measure import diagram
from training.measure.verdict import LEAST_EFFECTIVE, Finding
from training.report import document, wording
from training.report.content import ModelReport, Report, VersionReport
from training.report.rows import Row
from training.report.weeks import BandWeeks

TEMPLATE = "page.html"
CLASSES = {
    Finding.SHOWN: "shown",
    Finding.BROKEN: "broken",
    Finding.NOT_SHOWN: "open",
    Finding.TOO_FEW: "open",
}
dates: Any = untyped_dates
INK, GREY, FAINT = diagram.INK, diagram.GREY, diagram.FAINT
BLUE, ORANGE = diagram.BLUE, diagram.ORANGE
LEAST_HEIGHT = 0.1
"""Of the vertical axis: a band that is always right must not look like one that jumps about."""

_STYLE: dict[Any, Any] = {**diagram.STYLE, "svg.hashsalt": "trueband"}


def render(report: Report) -> str:
    """The page. Whatever comes from the ledger or the policy is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("training.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    drawn = {
        (model.model, version.version): [
            (name, svg_uri(figure)) for name, figure in figures_of(model, version).items()
        ]
        for model in report.models
        for version in model.versions
    }
    return environment.from_string(source).render(
        report=report,
        say=wording,
        figures=drawn,
        verdict_class=verdict_class,
        least_effective=LEAST_EFFECTIVE,
        level=float(DEFAULT_CONFIDENCE),
        schema=document.SCHEMA,
    )


def verdict_class(row: Row) -> str:
    """The style of a row's verdict."""
    return "none" if row.verdict is None else CLASSES[row.verdict.finding]


def figures_of(model: ModelReport, version: VersionReport) -> dict[str, Figure]:
    """The figures of a version by name, `reliability` and `weekly`; those that have nothing to show are left out."""
    title = f"{model.model}, {wording.version(version.version)}"
    found = {}
    everything, acting = version.calibration.curve, version.acting.curve
    if everything is not None:
        found["reliability"] = diagram.draw_reliability(
            everything,
            acting or everything,
            bands=diagram.spans(model.bands),
            title=f"{title}: what the confidence has meant",
            names=(
                "calibrated confidence, all decisions",
                f"calibrated confidence, decisions that {wording.acted(model.mode)}"
                if acting is not None
                else "calibrated confidence, all decisions again: no label tells of one that acted",
            ),
        )
    rows = {row.band: row for row in version.tables.bands}
    shown = [each for each in version.weeks if any(point.estimate.labels for point in each.points)]
    if shown:
        found["weekly"] = draw_weekly(
            shown, rows, title=f"{title}: accuracy of what {wording.acted(model.mode)}, by week"
        )
    return found


def draw_weekly(weeks: Sequence[BandWeeks], rows: dict[str, Row], *, title: str) -> Figure:
    """One panel a band: each week's estimate with its 95 % interval, and the promise as a line.

    Args:
        weeks: of the bands that have labels, from the top band down.
        rows: of the bands, by name.
        title: above everything.
    """
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure = Figure(
            figsize=(11.0, 0.9 + 2.6 * len(weeks)), layout=ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.09)
        )
        FigureCanvasAgg(figure)
        figure.set_facecolor("white")
        panels: Any = figure.subplots(len(weeks), 1, sharex=True, squeeze=False)
        for axes, each in zip(panels[:, 0], weeks, strict=True):
            _draw_band(axes, each, rows.get(each.band))
        mondays = [dates.date2num(point.monday) for each in weeks for point in each.points]
        panels[-1][0].set_xlim(min(mondays) - 5.0, max(mondays) + 5.0)
        panels[-1][0].set_xlabel("week of the decision (its Monday, UTC)")
        figure.suptitle(title, fontsize=13, fontweight="bold", color=INK)
        diagram.legend_below(figure, panels[:, 0])
        # Each drawing would move the panels a little further; what is drawn twice is to be the same twice.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def svg_uri(figure: Figure) -> str:
    """The figure as a data URI, which an `img` shows without any other file."""
    written = io.BytesIO()
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(written.getvalue()).decode()


def _draw_band(axes: Axes, weeks: BandWeeks, row: Row | None) -> None:
    points = [point for point in weeks.points if point.estimate.value is not None]
    times = [dates.date2num(point.monday) for point in points]
    values = [point.estimate.value or 0.0 for point in points]
    ends = [point.estimate.shown() for point in points]
    axes.vlines(times, [low for low, _ in ends], [high for _, high in ends], color=BLUE, linewidth=1.4)
    axes.plot(
        times,
        values,
        "o",
        color=BLUE,
        markersize=6,
        markeredgecolor="white",
        label="week, with its 95% interval",
        zorder=3,
    )
    for time, value, point in zip(times, values, points, strict=True):
        axes.annotate(
            f"n={point.estimate.labels}",
            (time, value),
            xytext=(6, -3),
            textcoords="offset points",
            fontsize=7.5,
            color=GREY,
        )
    lowest = min(low for low, _ in ends)
    if row is not None and row.verdict is not None:
        promised = row.verdict.promised
        axes.axhline(promised, color=ORANGE, linewidth=1.3, linestyle=(0, (5, 3)), label="promise", zorder=2)
        lowest = min(lowest, promised)
    if row is not None and row.estimate.value is not None:
        axes.axhline(row.estimate.value, color=GREY, linewidth=0.9, label="whole window", zorder=1)
    axes.set_ylim(max(-0.03, min(lowest - 0.03, 1.0 - LEAST_HEIGHT)), 1.02)
    axes.set_title(weeks.band, loc="left", fontsize=10.5, color=INK)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
    axes.set_ylabel("share correct")
    locator = dates.AutoDateLocator(minticks=2, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes.grid(color=FAINT, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)

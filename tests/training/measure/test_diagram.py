import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from training.data.dataset import Dataset
from training.measure import binning, diagram, evaluation, intervals, reliability

Simulate = Callable[..., Dataset]


def test_the_curve_is_the_bins_and_the_pooled_blocks(simulate: Simulate) -> None:
    data = simulate(3000, seed=1, stretch=2.0, weighted=True)
    curve = reliability.reliability(data.scores, data.correct, data.weights)
    bins = binning.bin_rows(data.scores, data.correct, data.weights)
    assert (curve.n, curve.bins) == (3000, 15)
    assert curve.ece == bins.ece
    assert curve.mcb == evaluation.corp(data.scores, data.correct, data.weights)[0]
    assert curve.count.sum() == 3000
    assert curve.count.min() > 0
    assert np.all(curve.low <= curve.accuracy)
    assert np.all(curve.accuracy <= curve.high)
    assert np.all(np.diff(curve.corp_confidence) > 0)
    assert np.all(np.diff(curve.corp_accuracy) >= 0)
    assert curve.histogram.sum() == pytest.approx(1.0)
    top = data.scores >= 14 / 15
    size = intervals.n_effective(data.weights[top])
    assert curve.high[-1] == pytest.approx(intervals.wilson(curve.accuracy[-1] * size, size)[1])


@pytest.mark.parametrize("rows", [1, 2])
def test_the_smallest_curves(rows: int) -> None:
    curve = reliability.reliability(np.full(rows, 1.0), np.ones(rows))
    assert curve.confidence.tolist() == [1.0]
    assert curve.ece == 0.0
    diagram.draw_reliability(curve, curve)


@pytest.mark.slow
def test_a_drawing_says_what_it_shows(simulate: Simulate, tmp_path: Path) -> None:
    data = simulate(2000, seed=2, stretch=2.0)
    before = reliability.reliability(data.scores, data.correct)
    after = reliability.reliability(np.sqrt(data.scores), data.correct)
    path = tmp_path / "reliability.png"
    figure = diagram.draw_reliability(before, after, path, bands=diagram.DEFAULT_SPANS, title="Leads")
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    assert path.stat().st_size > 20_000
    upper = figure.axes[:2]
    titles = [axes.get_title(loc="left") for axes in upper]
    assert f"ECE {before.ece:.2%} (n = 2,000, 15 bins)" in titles[0]
    assert f"CORP MCB {after.mcb:.5f}" in titles[1]
    assert {text.get_text() for text in upper[0].texts} == {"auto", "flagged", "hold", "reject"}
    (legend,) = figure.legends
    assert len({text.get_text() for text in legend.get_texts()}) == 3
    assert figure.get_suptitle() == "Leads"
    points = upper[1].containers[0][0].get_xydata()
    assert points == pytest.approx(np.column_stack((after.confidence, after.accuracy)))
    bars = figure.axes[2].patches
    assert sum(bar.get_height() for bar in bars) == pytest.approx(1.0)


def test_draws_on_a_given_figure(simulate: Simulate) -> None:
    data = simulate(200, seed=3)
    curve = reliability.reliability(data.scores, data.correct)
    figure = Figure(figsize=(8, 5))
    assert diagram.draw_reliability(curve, curve, figure) is figure
    assert len(figure.axes) == 4


def test_texts_do_not_overlap(simulate: Simulate) -> None:
    data = simulate(2000, seed=4, stretch=2.0)
    curve = reliability.reliability(data.scores, data.correct)
    figure = diagram.draw_reliability(
        curve, curve, bands=diagram.DEFAULT_SPANS, title="A title of some length, as they come"
    )
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for axes in figure.axes[:2] for text in axes.texts]
    boxes += [axes._left_title.get_window_extent(renderer) for axes in figure.axes[:2]]  # type: ignore[attr-defined]
    boxes += [axes.get_tightbbox(renderer) for axes in figure.axes[2:]]  # type: ignore[misc]
    boxes.append(figure.legends[0].get_window_extent(renderer))
    boxes.append(figure._suptitle.get_window_extent(renderer))  # type: ignore[attr-defined]
    overlaps = [(i, j) for i in range(len(boxes)) for j in range(i) if boxes[i].overlaps(boxes[j])]
    assert overlaps == []
    width, height = figure.canvas.get_width_height()
    assert min(min(box.x0, box.y0) for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= width
    assert max(box.y1 for box in boxes) <= height


@pytest.mark.parametrize("given", [False, True])
def test_the_legend_lies_on_no_data(simulate: Simulate, given: bool) -> None:
    data = simulate(200, seed=5, stretch=0.2)
    curve = reliability.reliability(data.scores, data.correct)
    figure = diagram.draw_reliability(curve, curve, Figure(figsize=(8, 5)) if given else None)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(axes.get_legend() for axes in figure.axes)
    assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)


@pytest.mark.process
def test_pyplot_stays_away() -> None:
    program = (
        "import sys, numpy as np\n"
        "from training.measure import diagram, reliability\n"
        "curve = reliability.reliability(np.array([.5, .6]), np.array([0., 1.]))\n"
        "diagram.draw_reliability(curve, curve)\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

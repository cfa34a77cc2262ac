"""The report on paper: the page, the document, the terminal and the figures say what it says."""

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from training.report import console, document, page, runs, wording

MakeWorld = Callable[..., Any]
EVIL = "<script>alert('x')</script>&\"{{ 7*7 }}"
POLICY = """
version: 1
models:
  leads:
    calibrator: models:/leads-calibrator@champion
    evidence: score
    categories:
      general: {}
      "<script>alert('x')</script>&\\"{{ 7*7 }}": {promise: {accuracy: 0.95, by: 2026-12-01}}
"""
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Outline(HTMLParser):
    """Checks that elements nest, and keeps text, addresses and tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    found.close()
    assert found.open == []
    return found


@pytest.fixture
def evil(make_world: MakeWorld) -> Any:
    """A ledger whose callers write HTML wherever they may."""
    world = make_world(POLICY)
    world.add(100, "auto", labels=[True] * 19 + [None])
    world.add(
        100,
        "auto",
        category="<script>alert('x')</script>&\"{{_7*7_}}",
        model_version=EVIL,
        labels=[True] * 10 + [False] * 30,
    )
    return world


def test_the_page_says_it_all_and_needs_nothing_else(counted: Any) -> None:
    html = page.render(counted.report())
    found = outline(html)
    assert html.startswith("<!doctype html>")
    assert "script" not in found.tags
    assert "link" not in found.tags
    assert found.handlers == []
    assert all(address.startswith(("data:image/svg+xml;base64,", "#")) for address in found.addresses)
    assert len([address for address in found.addresses if address.startswith("data:")]) == 2
    assert "://" not in re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]*", "", html)
    assert "@import" not in html
    assert "url(" not in html
    for word in (
        *("NOT SHOWN", "TOO FEW", "90.0%", "72.0%", "Wilson", "Korn-Graubard", "prefers-color-scheme"),
        *(
            "200",
            "Hajek",
            "15 bins of equal width",
            "resolution of labels",
            "Leak rate",
            counted.loaded.digest,
        ),
    ):
        assert word in found.words or word in html, word
    assert wording.interval((0.7634, 0.9721)) in found.words


@pytest.mark.slow
def test_nothing_that_a_caller_wrote_is_taken_for_html(evil: Any) -> None:
    html = page.render(evil.report())
    found = outline(html)
    assert "script" not in found.tags
    assert "&lt;script&gt;" in html
    assert "<script>alert('x')</script>" in found.words
    assert "{{ 7*7 }}" in found.words, "nor for a template"
    assert "BROKEN, OVERDUE" in found.words


def test_a_model_without_decisions_and_one_without_labels(make_world: MakeWorld) -> None:
    empty = make_world()
    report = empty.report()
    assert report.models[0].versions == ()
    assert "No decision in the window" in outline(page.render(report)).words
    assert json.loads(document.dumps(report))["models"][0]["versions"] == []
    assert "No decision in the window" in printed(report)
    assert runs.of(report) == []
    empty.add(20, "auto")
    unlabelled = empty.report()
    words = outline(page.render(unlabelled)).words
    assert "TOO FEW" in words
    assert "no label tells" in words
    assert "about 30 more labels" in words
    assert "TOO FEW" in printed(unlabelled)
    (version,) = json.loads(document.dumps(unlabelled))["models"][0]["versions"]
    assert version["calibration"] is None
    assert version["bands"][0]["accuracy"] is None
    assert version["bands"][0]["interval"] is None
    assert version["bands"][0]["verdict"]["more_labels"] == 30


def test_a_mandatory_decision_that_acted_is_cried_out(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(3, "auto", category="pricing", mandatory=True)
    report = world.report()
    assert (
        "3 decisions that only a person may let act acted without one" in outline(page.render(report)).words
    )
    assert "3 of them acted without a person (must be 0)" in printed(report)


def test_the_document_is_stable(counted: Any) -> None:
    given = json.loads(document.dumps(counted.report()))
    assert given["schema"] == "trueband.report/1"
    assert given["window"]["since"] is None
    assert given["window"]["as_of"] == "2026-12-30T14:13:20Z"
    assert given["policy_digest"] == counted.loaded.digest
    assert given.keys() == {
        *("schema", "made_at", "window", "policy_digest", "floors_digest", "resolution_version", "pooled"),
        "models",
    }
    (model,) = given["models"]
    assert model.keys() == {
        *(
            "model",
            "mode",
            "bands",
            "versions",
            "shadow_requests",
            "repeated_answers",
            "queue",
            "held_outcomes",
        ),
        *("reviewers", "calibrators_in_force", "suspensions", "governance", "answers_by_calibrator"),
        "answers_by_policy",
    }
    (version,) = model["versions"]
    assert version.keys() == {
        *("version", "all_answers", "acted", "bands", "categories", "cells", "not_acted"),
        *(
            "categories_without_a_row",
            "calibration",
            "calibration_of_acted",
            "mandatory",
            "weekly",
            "decided_by",
        ),
        "labels_left_out",
    }
    auto = version["bands"][0]
    assert auto.keys() == {
        *("band", "category", "action", "without_categories", "decisions", "drawn", "audits", "labels"),
        *("labels_effective", "accuracy", "interval", "interval_method", "unlabelled_strata_share"),
        *(
            "naive_accuracy",
            "naive_labels",
            "band_edge",
            "mean_confidence",
            "no_answer",
            "worst_case",
            "verdict",
        ),
    }
    assert (auto["band"], auto["category"], auto["decisions"], auto["labels"]) == ("auto", None, 200, 40)
    assert auto["accuracy"] == pytest.approx(0.9)
    assert auto["verdict"]["finding"] == "NOT_SHOWN"
    assert auto["verdict"]["interval_method"] == "Clopper-Pearson"
    assert version["weekly"][0]["weeks"][0]["week"] == "2026-W39"
    assert version["calibration"]["bins"] == 15
    mentioned = set(re.findall(r"`([a-z_]+)`", document.__doc__ or ""))
    assert auto.keys() <= mentioned, "each key of a row is documented"
    assert version.keys() <= mentioned
    assert model.keys() <= mentioned


def test_the_terminal_says_the_same(counted: Any) -> None:
    text = printed(counted.report())
    for words in ("auto", "NOT SHOWN", "TOO FEW", "90.0%", "95% interval", "plain mean of all 126 labels"):
        assert words in text
    assert re.search(r"Who decided: 50 left to a person, 300 acted on the primary model's answer", text)


def test_markup_of_a_caller_stays_text(make_world: MakeWorld) -> None:
    world = make_world('version: 1\nmodels: {leads: {calibrator: "models:/c@champion", evidence: score}}\n')
    world.add(10, "auto", category="[bold red]x[/]", labels=[True] * 5)
    assert "[bold red]x[/]" in printed(world.report())


def test_figures(evil: Any) -> None:
    (model,) = evil.report().models
    drawn = page.figures_of(model, model.versions[1])
    assert set(drawn) == {"reliability", "weekly"}
    assert len(drawn["weekly"].axes) == 1
    lines = [line.get_ydata() for line in drawn["weekly"].axes[0].lines]
    assert any(list(line) == pytest.approx([0.9, 0.9]) for line in lines), "the promise"
    for figure in drawn.values():
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert not any(axes.get_legend() or box.overlaps(axes.get_window_extent()) for axes in figure.axes)
    ticks = [label.get_text() for label in drawn["weekly"].axes[0].get_yticklabels()]
    read = [float(text.rstrip("%")) / 100 for text in ticks]
    assert read == pytest.approx(list(drawn["weekly"].axes[0].get_yticks())), "no tick is rounded away"
    uri = page.svg_uri(drawn["weekly"])
    assert uri == page.svg_uri(drawn["weekly"]), "the same figure is the same text"
    root = ET.fromstring(base64.b64decode(uri.partition(",")[2]))
    assert root.tag.endswith("svg")


def test_runs_have_names_that_mlflow_takes(evil: Any) -> None:
    first, second = runs.of(evil.report())
    allowed = re.compile(r"[A-Za-z0-9_\-. /]+")
    for run in (first, second):
        assert all(allowed.fullmatch(name) for name in run.metrics)
        assert set(run.figures) >= {"reliability.png"}
    plain, marked = (second, first) if second.params["model_version"] == "v1" else (first, second)
    assert plain.metrics["band/auto/accuracy"] == 1.0
    assert plain.metrics["band/auto/labels"] == 19.0
    assert plain.metrics["band/auto/promised"] == 0.9
    assert marked.params["model_version"] == EVIL


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (1.0, "100.0%"), (0.9996, ">99.9%"), (0.0004, "<0.1%"), (0.0, "0.0%"), (0.905, "90.5%")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(value: float | None, text: str) -> None:
    assert wording.share(value) == text


def test_an_interval_is_rounded_outwards() -> None:
    assert wording.interval((0.89999, 0.95001)) == "89.9 to 95.1%"
    assert wording.interval((0.0, 1.0)) == "0.0 to 100.0%"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.0, "0 s"), (119.0, "119 s"), (7200.0, "2 h"), (5 * 86400.0, "5 d")]
)
def test_ages(seconds: float | None, text: str) -> None:
    assert wording.age(seconds) == text


def printed(report: Any) -> str:
    said = io.StringIO()
    console.show(report, Console(width=120, file=said))
    return said.getvalue()


def test_nothing_acts_in_observe_mode(make_world: MakeWorld) -> None:
    policy = (
        'version: 1\nmodels: {leads: {calibrator: "models:/c@champion", evidence: score, mode: observe}}\n'
    )
    world = make_world(policy)
    world.add(40, "auto", may_act=False, enforced=False, labels=[True] * 20)
    report = world.report()
    text = printed(report)
    assert "what would have acted" in text
    assert "40 would have acted on the primary model's answer" in text
    assert not re.search(r"[0-9] acted\b|that acted\b|what acted\b", text)
    html = page.render(report)
    assert "all that would have acted" in html
    assert "Bands: decisions that would have acted" in html

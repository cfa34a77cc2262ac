"""The report as one HTML file that needs no other: inline style, figures as data, no script."""

from importlib import resources

import jinja2

from sidecar.policy.model import DEFAULT_CONFIDENCE
from training.measure.verdict import LEAST_EFFECTIVE, Finding
from training.report import document, figures, wording
from training.report.content import Report
from training.report.rows import Row

TEMPLATE = "page.html"
CLASSES = {
    Finding.SHOWN: "shown",
    Finding.BROKEN: "broken",
    Finding.NOT_SHOWN: "open",
    Finding.TOO_FEW: "open",
}


def render(report: Report) -> str:
    """The page. Whatever comes from the ledger or the policy is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("training.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    drawn = {
        (model.model, version.version): [
            (name, figures.svg_uri(figure)) for name, figure in figures.of_version(model, version).items()
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

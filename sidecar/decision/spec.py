"""The document that a policy stands for: what a person signs, generated from what the service does."""

import itertools
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from sidecar.decision import checks, cost_ratios, spec_audit, spec_chain, spec_floors, spec_review
from sidecar.policy import categories, floors_file, model
from sidecar.policy.actions import Action, Reason
from sidecar.policy.band import Band
from sidecar.policy.floors_file import Floors, LoadedFloors
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.tables import ModelTable

MEANING = {
    Action.AUTO_ROUTE: "acts; a share is audited",
    Action.AUTO_ROUTE_FLAGGED: "acts; a person looks at it the next business day",
    Action.HOLD_FOR_REVIEW: "waits for a person before any action",
    Action.ESCALATE: "is taken over by a senior person",
    Action.REJECT: "is discarded without action",
    Action.UNCERTAIN: "no decision; nothing acts",
}


def render(loaded: LoadedPolicy, floors: LoadedFloors | None = None) -> str:
    """A policy under its floors as Markdown: bands, mandatory review, and what happens in every cell."""
    given = None if floors is None else floors.floors
    tables = floors_file.merge(loaded.policy, given)
    parts = [
        "# Routing policy",
        "",
        f"Policy digest `{loaded.digest}`. Every decision names it; the ledger keeps the text behind it.",
        "",
        (
            "A *calibrated confidence* is the probability that the answer is correct, as measured on past "
            "answers with known outcomes. Bands are cut on it, or on its lower bound where a model says so, "
            "never on the model's own score. An interval is closed below and open above; the top one includes 1."
        ),
    ]
    for name, entry in loaded.policy.models.items():
        parts += ["", *_model(name, entry, tables[name], given)]
    parts += ["", *spec_floors.sections(loaded, floors)]
    review = loaded.policy.review
    parts += [
        "",
        "## Review queue",
        "",
        (
            f"Times are in {review.time_zone}. A held answer is due within {_hours(review.hold_due)}, an "
            f"escalation within {_hours(review.escalation_due)}, an audit within "
            f"{_hours(review.audit_due)}, a flagged answer by the end of the next business day. A hold is "
            "refused as UNCERTAIN once the way to the queue is blocked for more than "
            f"{_hours(review.max_backlog_age)}. A due time that passes never approves anything."
        ),
        "",
        *spec_review.lines(review, _hours),
        "",
    ]
    return "\n".join(parts)


def _newcomers(entry: model.Model) -> Iterator[str]:
    """What another calibrator must pass, and what is evaluated beside the one in force."""
    admission = entry.admission
    if admission.recent == 0:
        yield "* What another calibrator would change about the share of automatic answers is not measured."
    elif entry.calibrator.startswith("models:"):
        yield (
            f"* Another calibrator that would change the share of automatic answers, among the last "
            f"{admission.recent:,}, by more than {admission.max_auto_shift:.0%} waits for a person's approval."
        )
    if entry.shadow and entry.calibrator.endswith("@champion"):
        yield "* The registry's challenger is evaluated on the same answers, and decides nothing."


def _model(name: str, entry: model.Model, table: ModelTable, floors: Floors | None) -> Iterator[str]:
    yield f"## Model `{name}`"
    yield ""
    yield (
        "**Mode: enforce.** The service's answer decides."
        if entry.mode == "enforce"
        else "**Mode: observe.** The service decides and records; nothing acts on its word."
    )
    yield ""
    yield f"* Calibrator: `{entry.calibrator}`" + "".join(
        f"; version {v}: `{uri}`" for v, uri in entry.versions.items()
    )
    yield f"* Evidence: {entry.evidence}" + (
        f", {table.aggregation} over tokens" if table.aggregation != "none" else ""
    )
    yield f"* Judged by criterion: {entry.criterion}"
    yield f"* Model version: {entry.model_version}"
    yield f"* A permission to act holds for {_hours(entry.expires_after)}."
    yield from _newcomers(entry)
    yield ""
    yield "### Bands"
    yield ""
    if table.on_lower_bound:
        yield (
            "**Cut on the lower bound.** An interval here is of the *lower confidence bound* of the calibrated "
            "confidence: what it is at least, by the labels that its calibrator was fitted on. The fewer they "
            "are, the lower it lies, so that automation grows with evidence. A calibrator that carries no bound "
            "holds (NO_LOWER_BOUND). It holds for the answers of a rule and of the secondary model too. A range of "
            "mandatory review binds where either number lies in it. An answer is rejected only where the calibrated "
            "confidence itself lies in a band that rejects; where only the bound does, it waits for a person "
            "(REJECT_UNPROVEN)."
        )
    else:
        yield "Cut on the calibrated confidence."
    yield ""
    yield "| category | band | from | below | action | which means | drawn for audit |"
    yield "|---|---|---|---|---|---|---|"
    for title, category in _band_rows(entry):
        bands = model.bands_of(entry, category)
        upper = "1.00 (included)"
        for band in bands:
            rate = model.audit_rate_of(band, category)
            waits = band.action in (Action.HOLD_FOR_REVIEW, Action.ESCALATE)
            drawn = "reviewed anyway" if waits and not table.observes else _percent(rate)
            if band.audit_budget and rate > 0.0 and drawn != "reviewed anyway":
                drawn += f", at most {band.audit_budget} a week"
            lower = _edge(float(band.from_))
            yield (
                f"| {title} | {band.name} | {lower} | {upper} | {band.action} | "
                f"{MEANING[band.action]} | {drawn} |"
            )
            upper = lower
    yield ""
    yield from spec_audit.section(entry, _band_rows(entry), percent=_percent, edge=_edge)
    yield ""
    yield "### What the cut-offs say about costs"
    yield ""
    yield "Each cut-off is right under one ratio of costs, meant or not:"
    yield ""
    yield "| category | cut-off | from it on | below it | right where |"
    yield "|---|---|---|---|---|"
    for title, category in _band_rows(entry):
        if category is None or category.bands is not None:
            yield from _cut_offs(title, model.bands_of(entry, category))
    yield ""
    yield "### Mandatory review"
    yield ""
    yield (
        "These never act, and are never rejected, without a person, whatever the confidence. No calibrator, "
        "fallback, flag or stale state changes that. Only HOLD_FOR_REVIEW, ESCALATE and UNCERTAIN are "
        "possible."
    )
    yield ""
    for category_name, category_table in sorted(table.listed.items()):
        if category_table.floor is not None:
            yield f"* `{category_name}`{_origin(category_name, name, floors)}"
            continue  # as a whole, so that its ranges say no more
        for lower_edge, upper_edge, _ in category_table.floored_ranges:
            yield f"* `{category_name}` from {_edge(lower_edge)} to {_edge(upper_edge)}"
    yield ""
    if table.lists_categories:
        yield f"A category that is missing or not listed: at best {entry.unknown_category}."
    else:
        yield "The policy lists no other category: a category that is not mandatory changes nothing."
    yield ""
    yield from spec_chain.section(entry.fallback)
    yield ""
    yield "### Every cell"
    yield ""
    without_confidence = [
        problem for problem in checks.problems(table) if problem is not Reason.CALIBRATOR_STALE
    ]
    yield (
        "Enumerated through the code that decides. *In force*: a calibrator is in force and was confirmed "
        f"within {_hours(entry.stale.after)}. *Stale*: it was not. *None to use*: there is no calibrated "
        f"confidence ({', '.join(without_confidence)})."
    )
    yield ""
    yield from _cells(table)


def _band_rows(entry: model.Model) -> Iterator[tuple[str, model.Category | None]]:
    yield "(all others)" if entry.categories else "(all)", None
    for name, category in entry.categories.items():
        if (category.bands, category.audit_rate, category.promise) != (None, None, None):
            yield f"`{categories.normalise(name)}`", category


def _cut_offs(title: str, bands: tuple[Band, ...]) -> Iterator[str]:
    for upper, lower in itertools.pairwise(bands):
        ratio = cost_ratios.implied(upper.action, lower.action, Fraction(upper.from_))
        yield (
            f"| {title} | {_edge(float(upper.from_))} | {upper.name}: {upper.action} | "
            f"{lower.name}: {lower.action} | {ratio} |"
        )


def _origin(category: str, model_name: str, floors: Floors | None) -> str:
    if category in categories.ALWAYS_MANDATORY:
        return " (built in; a policy cannot remove it)"
    if floors is not None:
        own = floors.models.get(model_name)
        if category in floors.mandatory_categories or (own and category in own.mandatory_categories):
            return " (from the floors file; a policy cannot remove it)"
    return ""


def _cells(table: ModelTable) -> Iterator[str]:
    yield "| category | confidence | in force | stale | none to use |"
    yield "|---|---|---|---|---|"
    rows: dict[tuple[str, float, float], dict[str, Action]] = {}
    for cell in checks.enumerate_cells(table):
        rows.setdefault((cell.category, cell.lower, cell.upper), {})[cell.state] = cell.action
    for (category, lower, upper), actions in rows.items():
        stale = actions[Reason.CALIBRATOR_STALE]
        others = {
            action for state, action in actions.items() if state not in ("in force", Reason.CALIBRATOR_STALE)
        }
        unusable = ", ".join(sorted(others))
        interval = f"{_edge(lower)} to {_edge(upper)}"
        yield f"| {category} | {interval} | {actions['in force']} | {stale} | {unusable} |"


def _edge(value: float) -> str:
    """An edge with every digit that it has, and two at least."""
    text = f"{Decimal(repr(value)):f}"
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits:0<2}"


def _percent(rate: float) -> str:
    """A rate as a percentage with every digit that it has."""
    return f"{(Decimal(repr(rate)) * 100).normalize():f} %"


def _hours(seconds: float) -> str:
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds:g} seconds"

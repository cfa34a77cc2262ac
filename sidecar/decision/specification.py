"""The document that a policy stands for: what a person signs, generated from what the service does."""

import itertools
import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from sidecar.decision import cost_ratios, proofs
from sidecar.policy import categories, floors_file, model
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, Reason
from sidecar.policy.detectors import Detector
from sidecar.policy.fallback import Chain, Rule, RulesStep, SecondaryStep
from sidecar.policy.floors_file import Floors, LoadedFloors
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Band
from sidecar.policy.tables import ModelTable
from sidecar.policy.upkeep import Review
from sidecar.times import in_words

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
    binding = None if floors is None else floors.floors
    tables = floors_file.merge(loaded.policy, binding)
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
        parts += ["", *_model(name, entry, tables[name], binding)]
    parts += ["", *_floors(loaded, floors), "", *_review(loaded.policy.review), ""]
    return "\n".join(parts)


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
    if entry.require_context:
        fields = ", ".join(f"`{field}`" for field in entry.require_context)
        yield f"* Context required: {fields}; an answer without waits for a person."
    yield f"* A permission to act holds for {in_words(entry.expires_after)}."
    yield from _newcomers(entry)
    for section in (
        _bands(entry, table),
        _promises_and_audits(entry),
        _costs(entry),
        _mandatory(name, entry, table, floors),
        _chain(entry.fallback),
        _cells(entry, table),
    ):
        yield ""
        yield from section


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


def _bands(entry: model.Model, table: ModelTable) -> Iterator[str]:
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


def _band_rows(entry: model.Model) -> Iterator[tuple[str, model.Category | None]]:
    """The titles of what has bands, audits or promises of its own, and what the policy says about each."""
    for name, category in model.sections(entry):
        if category is None:
            yield "(all others)" if entry.categories else "(all)", None
        elif (category.bands, category.audit_rate, category.promise) != (None, None, None):
            yield f"`{name}`", category


def _promises_and_audits(entry: model.Model) -> Iterator[str]:
    yield "### Promises and audits"
    yield ""
    yield (
        "A promise is about the decisions that acted, for each stratum of model, model version, source, band, action "
        "and audit rate. Truth about them comes from audits, which are drawn by a secret key: nobody who asks can see "
        "or choose what is drawn."
    )
    yield ""
    for title, category in _band_rows(entry):
        for band in model.bands_of(entry, category):
            parts = [_drawn(entry, band, category), *_promised(band, category)]
            yield f"* {title}, `{band.name}`: {'; '.join(parts)}."


def _drawn(entry: model.Model, band: Band, category: model.Category | None) -> str:
    if band.action in PERSON_ACTIONS and entry.mode == "enforce":
        return "a person reviews each one, so none is drawn"
    rate = model.audit_rate_of(band, category)
    if rate == 0.0:
        return "nothing is drawn, so nothing will be known about it"
    drawn = f"{_percent(rate)} of it is drawn for audit"
    if band.audit_budget is None:
        return f"{drawn}, and all of that is reviewed"
    # Rounded up, as fewer decisions would not do.
    enough = math.ceil(round(band.audit_budget / rate, 6))
    return (
        f"{drawn}, and at most {band.audit_budget} of a week's draws are reviewed, from about {enough} decisions a "
        "week on; the smallest draws are taken when the week is over"
    )


def _promised(band: Band, category: model.Category | None) -> Iterator[str]:
    promise = model.promise_of(band, category)
    if promise is None:
        if band.action in AUTOMATIC_ACTIONS:
            yield "nothing is promised"
            yield _breach(band)
        return
    by = "" if promise.by is None else f" by {promise.by.isoformat()}"
    yield (
        f"promised is an accuracy of at least {_edge(float(promise.accuracy))}, to be shown at "
        f"{_percent(float(promise.confidence))} confidence{by}"
    )
    yield _breach(band)


def _breach(band: Band) -> str:
    if band.on_breach == "hold":
        return "an alarm suspends it, and only a person lifts that"
    return "an alarm is raised where it breaks, and it goes on acting"


def _costs(entry: model.Model) -> Iterator[str]:
    yield "### What the cut-offs say about costs"
    yield ""
    yield "Each cut-off is right under one ratio of costs, meant or not:"
    yield ""
    yield "| category | cut-off | from it on | below it | right where |"
    yield "|---|---|---|---|---|"
    for title, category in _band_rows(entry):
        if category is None or category.bands is not None:
            yield from _cut_offs(title, model.bands_of(entry, category))


def _cut_offs(title: str, bands: tuple[Band, ...]) -> Iterator[str]:
    for upper, lower in itertools.pairwise(bands):
        ratio = cost_ratios.implied(upper.action, lower.action, Fraction(upper.from_))
        yield (
            f"| {title} | {_edge(float(upper.from_))} | {upper.name}: {upper.action} | "
            f"{lower.name}: {lower.action} | {ratio} |"
        )


def _mandatory(name: str, entry: model.Model, table: ModelTable, floors: Floors | None) -> Iterator[str]:
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


def _origin(category: str, model_name: str, floors: Floors | None) -> str:
    if category in categories.ALWAYS_MANDATORY:
        return " (built in; a policy cannot remove it)"
    if floors is not None:
        own = floors.models.get(model_name)
        if category in floors.mandatory_categories or (own and category in own.mandatory_categories):
            return " (from the floors file; a policy cannot remove it)"
    return ""


def _chain(chain: Chain) -> Iterator[str]:
    yield "### Fallback"
    yield ""
    for number, step in enumerate(chain, 1):
        if isinstance(step, RulesStep):
            yield f"{number}. Rules{_step_bands(step)}; the first that matches answers:"
            yield from (f"    * {_rule(rule)}" for rule in step.rules)
        elif isinstance(step, SecondaryStep):
            share = f"{step.deadline_share:.0%} of the caller's time"
            yield (
                f"{number}. Secondary model `{step.model}` at `{step.address}`{_step_bands(step)}; at most "
                f"{step.timeout:g} s and {share}; {_calibrator(step)}."
            )
        elif step.step == "review":
            yield f"{number}. A person, through the review queue."
        else:
            yield f"{number}. UNCERTAIN, with what was tried."
    yield ""
    yield (
        "A step of a machine acts only where its own calibrated confidence falls into a band that acts, and "
        "never in a mandatory cell."
    )


def _rule(rule: Rule) -> str:
    return (
        f"`{rule.name}`: where `{rule.when}`, answers `{rule.answer}`, at mildest {rule.action}; "
        f"{_calibrator(rule)}"
    )


def _step_bands(step: RulesStep | SecondaryStep) -> str:
    return "" if step.bands is None else f" in band {', '.join(step.bands)}"


def _calibrator(source: Rule | SecondaryStep) -> str:
    if source.calibrator is None:
        return "no calibrator, so that it clears nothing"
    return f"calibrator `{source.calibrator}`"


def _cells(entry: model.Model, table: ModelTable) -> Iterator[str]:
    yield "### Every cell"
    yield ""
    without_confidence = [
        problem for problem in proofs.problems(table) if problem is not Reason.CALIBRATOR_STALE
    ]
    yield (
        "Enumerated through the code that decides. *In force*: a calibrator is in force and was confirmed "
        f"within {in_words(entry.stale.after)}. *Stale*: it was not. *None to use*: there is no calibrated "
        f"confidence ({', '.join(without_confidence)})."
    )
    yield ""
    yield "| category | confidence | in force | stale | none to use |"
    yield "|---|---|---|---|---|"
    rows: dict[tuple[str, float, float], dict[str, Action]] = {}
    for cell in proofs.cells(table):
        rows.setdefault((cell.category, cell.lower, cell.upper), {})[cell.state] = cell.action
    for (category, lower, upper), actions in rows.items():
        stale = actions[Reason.CALIBRATOR_STALE]
        others = {
            action
            for state, action in actions.items()
            if state not in (proofs.IN_FORCE, Reason.CALIBRATOR_STALE)
        }
        unusable = ", ".join(sorted(others))
        interval = f"{_edge(lower)} to {_edge(upper)}"
        yield f"| {category} | {interval} | {actions[proofs.IN_FORCE]} | {stale} | {unusable} |"


def _floors(loaded: LoadedPolicy, floors: LoadedFloors | None) -> Iterator[str]:
    """What no policy can take away, and what texts are read for."""
    yield "## Floors"
    yield ""
    yield (
        "A floor takes actions away. Every floor that binds is intersected with the others, so none can be "
        "cancelled, and none can permit what another forbids."
    )
    yield ""
    if floors is None:
        yield "There is no floors file: what is mandatory stands in the policy, beside what is built in."
    else:
        yield (
            f"Floors digest `{floors.digest}`. The file has an owner of its own; the policy can add to it "
            "and takes nothing from it. Every decision names it. A running service refuses a change of "
            "either file that would end mandatory review anywhere."
        )
        yield ""
        yield from _named_floors(floors.floors)
    yield ""
    yield (
        "A person can suspend a tenant, model, version, band, category or source while the service runs, or "
        "everything: at once, until a person lifts it. What is suspended waits for a person."
    )
    yield ""
    yield "### Detectors"
    yield ""
    detectors = () if floors is None else floors.floors.detectors
    if not detectors and not loaded.policy.detectors:
        yield "None: nothing is looked for in the context."
        return
    yield (
        "Each looks for its pattern (RE2) in the context. Where it finds it, the answer waits for a person, "
        "whatever category was declared."
    )
    yield ""
    yield "| detector | from | stands for | looks at | pattern |"
    yield "|---|---|---|---|---|"
    yield from (_detector_row(detector, "floors") for detector in detectors)
    yield from (_detector_row(detector, "policy") for detector in loaded.policy.detectors)


def _named_floors(floors: Floors) -> Iterator[str]:
    lines = [f"* every model: `{name}`" for name in floors.mandatory_categories]
    for name, own in sorted(floors.models.items()):
        lines += [f"* model `{name}`: `{category}`" for category in own.mandatory_categories]
        lines += [
            f"* model `{name}`: `{category}` from {bounds.from_:f} to {bounds.to:f}"
            for category, ranges in sorted(own.mandatory_ranges.items())
            for bounds in ranges
        ]
    yield from lines or ["It names no category beside those built in."]


def _detector_row(detector: Detector, origin: str) -> str:
    fields = ", ".join(f"`{field}`" for field in detector.fields_) or "all of it"
    # A vertical line would end the cell of the table.
    pattern = detector.pattern.replace("|", "\\|").replace("\n", " ")
    case = "" if detector.ignore_case else " (case as written)"
    return (
        f"| {detector.name} | {origin} | `{categories.normalise(detector.category)}` | {fields} | "
        f"`{pattern}`{case} |"
    )


def _review(review: Review) -> Iterator[str]:
    """The times of the queue, a line for each other setting that is not the default, and what holds without."""
    yield "## Review queue"
    yield ""
    yield (
        f"Times are in {review.time_zone}. A held answer is due within {in_words(review.hold_due)}, an "
        f"escalation within {in_words(review.escalation_due)}, an audit within {in_words(review.audit_due)}, "
        "a flagged answer by the end of the next business day. A hold is refused as UNCERTAIN once the way to "
        f"the queue is blocked for more than {in_words(review.max_backlog_age)}. A due time that passes never "
        "approves anything."
    )
    yield ""
    if review.blind_share > 0.0:
        yield (
            f"* {review.blind_share * 100:.4g} % of the tasks are blind: the reviewer sees neither prediction "
            "nor confidence."
        )
    for kind, count in sorted(review.overlap.items()):
        if count > 1:
            yield (
                f"* {count} different reviewers judge each task of kind {kind}; where they disagree, another "
                "one decides."
            )
    for name, skill in sorted(review.skills.items()):
        yield f"* Category `{categories.normalise(name)}` is for reviewers with the skill `{skill}`."
    for kind, seconds in sorted(review.expire_after.items()):
        yield (
            f"* A task of kind {kind} that nobody has ends undecided {in_words(seconds)} after its due time, as "
            "EXPIRED, which permits nothing; one of a mandatory category never does."
        )
    if not review.expire_after:
        yield "* No task ends undecided: it waits until somebody decides."


def _edge(value: float) -> str:
    """An edge with every digit that it has, and two at least."""
    text = f"{Decimal(repr(value)):f}"
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits:0<2}"


def _percent(rate: float) -> str:
    """A rate as a percentage with every digit that it has."""
    return f"{(Decimal(repr(rate)) * 100).normalize():f} %"

"""What a policy leaves unaudited: permitted, and worth a warning."""

from collections.abc import Iterator

from sidecar.policy import categories, model
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS
from sidecar.policy.band import Band
from sidecar.policy.tables import ModelTable


def warnings(name: str, entry: model.Model, table: ModelTable) -> list[str]:
    """What nothing will ever be known about, and what never takes effect, a sentence each.

    Warned of: a band that acts, or rejects, and is never drawn for audit; a budget for what is never drawn, or
    for what a person reviews anyway.

    Args:
        name: of the model.
        entry: its policy.
        table: the same, under its floors.
    """
    found: dict[str, None] = {}  # in order, each once
    for given, category in ((None, None), *entry.categories.items()):
        floored = table.unlisted if given is None else table.category(categories.normalise(given))
        if floored.floor is not None:
            continue  # a person sees all of it
        where = f"model {name}" if given is None else f"model {name}, category {given}"
        own = category is not None and (category.bands is not None or category.audit_rate is not None)
        for band in model.bands_of(entry, category) if given is None or own else ():
            for said in _of_band(band, model.audit_rate_of(band, category), table):
                found[f"{where}, band {band.name}: {said}"] = None
    return list(found)


def _of_band(band: Band, rate: float, table: ModelTable) -> Iterator[str]:
    if band.action in PERSON_ACTIONS and not table.observes:
        if band.audit_budget is not None:
            yield (
                f"audit_budget {band.audit_budget} never takes effect: a person reviews all of it, so nothing is drawn"
            )
        return
    if rate > 0.0:
        return
    if band.audit_budget is not None:
        yield f"audit_budget {band.audit_budget} can never fill: at audit_rate 0 nothing is drawn"
    if band.action in AUTOMATIC_ACTIONS:
        reviewed = ", but for its next-day review" if band.review == "next_day" else ""
        yield (
            f"it acts and is never audited (audit_rate 0){reviewed}: nobody will know how often it is right; "
            "give it an audit_rate"
        )
    else:
        yield (
            f"it answers {band.action} and is never audited (audit_rate 0): nobody will know what was right among "
            "that; give it an audit_rate"
        )

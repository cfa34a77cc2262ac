"""The part of a policy's document on what is promised, and how it is watched: promises, audits, breaches."""

import math
from collections.abc import Callable, Iterable, Iterator

from sidecar.policy import model
from sidecar.policy.actions import PERSON_ACTIONS, Action
from sidecar.policy.band import Band


def section(
    entry: model.Model,
    rows: Iterable[tuple[str, model.Category | None]],
    *,
    percent: Callable[[float], str],
    edge: Callable[[float], str],
) -> Iterator[str]:
    """A line for each band of each row of the table of bands.

    Args:
        entry: the policy of the model.
        rows: titles and categories that have a row.
        percent: writes a share for a person.
        edge: writes a confidence for a person.
    """
    yield "### Promises and audits"
    yield ""
    yield (
        "A promise is about the decisions that acted, for each stratum of model, model version, source, band, action "
        "and audit rate. Truth about them comes from audits, which are drawn by a secret key: nobody who asks can see "
        "or choose what is drawn."
    )
    yield ""
    for title, category in rows:
        for band in model.bands_of(entry, category):
            parts = [_drawn(entry, band, category, percent), *_promised(band, category, percent, edge)]
            yield f"* {title}, `{band.name}`: {'; '.join(parts)}."


def _drawn(
    entry: model.Model, band: Band, category: model.Category | None, percent: Callable[[float], str]
) -> str:
    if band.action in PERSON_ACTIONS and entry.mode == "enforce":
        return "a person reviews each one, so none is drawn"
    rate = model.audit_rate_of(band, category)
    if rate == 0.0:
        return "nothing is drawn, so nothing will be known about it"
    drawn = f"{percent(rate)} of it is drawn for audit"
    if band.audit_budget is None:
        return f"{drawn}, and all of that is reviewed"
    # Rounded up, as fewer decisions would not do.
    enough = math.ceil(round(band.audit_budget / rate, 6))
    return (
        f"{drawn}, and at most {band.audit_budget} of a week's draws are reviewed, from about {enough} decisions a "
        "week on; the smallest draws are taken when the week is over"
    )


def _promised(
    band: Band,
    category: model.Category | None,
    percent: Callable[[float], str],
    edge: Callable[[float], str],
) -> Iterator[str]:
    promise = model.promise_of(band, category)
    if promise is None:
        if band.action in (Action.AUTO_ROUTE, Action.AUTO_ROUTE_FLAGGED):
            yield "nothing is promised"
            yield _breach(band)
        return
    by = "" if promise.by is None else f" by {promise.by.isoformat()}"
    yield (
        f"promised is an accuracy of at least {edge(float(promise.accuracy))}, to be shown at "
        f"{percent(float(promise.confidence))} confidence{by}"
    )
    yield _breach(band)


def _breach(band: Band) -> str:
    if band.on_breach == "hold":
        return "an alarm suspends it, and only a person lifts that"
    return "an alarm is raised where it breaks, and it goes on acting"

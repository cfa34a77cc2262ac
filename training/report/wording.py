"""How a report says numbers, moments and verdicts to people; the same on the console and on the page."""

import math
from collections.abc import Mapping

from sidecar import shell, times
from sidecar.decision import suspensions
from sidecar.decision.suspensions import Scope
from sidecar.ledger.review_facts import EndingCount
from sidecar.policy.actions import TaskKind
from training.measure.post_stratified import Estimate
from training.measure.verdict import LEAST_EFFECTIVE, Finding, PromiseVerdict
from training.report.rows import NoAnswer, Row, Tables
from training.report.window import Window

NONE = "-"
TASKS = {
    TaskKind.HOLD: "hold",
    TaskKind.ESCALATION: "escalation",
    TaskKind.BATCH: "next-day review",
    TaskKind.AUDIT: "audit",
    TaskKind.ADJUDICATION: "adjudication",
}
DECIDERS = {
    "primary": "{acted} on the primary model's answer",
    "rules": "{acted} on a rule's answer",
    "secondary": "{acted} on the secondary model's answer",
    "person": "left to a person",
    "rejected": "rejected",
    "nobody": "UNCERTAIN: left to the caller, nobody could decide",
    "not enforced": "would act, but were not enforced (observe mode)",
}


def share(value: float | None) -> str:
    """A share in percent; one that is not quite all, or not quite nothing, never reads as that."""
    if value is None:
        return NONE
    text = f"{value:.1%}"
    if text == "100.0%" and value < 1.0:
        return ">99.9%"
    return "<0.1%" if text == "0.0%" and value > 0.0 else text


def count(value: float) -> str:
    """A whole number with separators."""
    return f"{value:,.0f}"


def interval(ends: tuple[float, float] | None) -> str:
    """An interval of shares in percent."""
    if ends is None:
        return NONE
    low, high = ends
    return f"{math.floor(low * 1000) / 10:.1f} to {math.ceil(high * 1000) / 10:.1f}%"


def shown(estimate: Estimate) -> str:
    """The interval that is shown of an estimate, with its method's initials; nothing where there is no label."""
    if estimate.mean is None:
        return NONE
    return interval(estimate.shown())


def effective(estimate: Estimate) -> str:
    """How many labels, and, where they are worth fewer, how many effective ones."""
    if estimate.n_effective < estimate.labels - 0.5:
        return f"{count(estimate.labels)} ({count(math.floor(estimate.n_effective))})"
    return count(estimate.labels)


def age(seconds: float | None) -> str:
    """A length of time in its largest unit."""
    if seconds is None:
        return NONE
    return times.about(seconds)


def moment(seconds: float) -> str:
    """A moment in UTC, to the minute."""
    return times.utc(seconds, "minutes")


def window(given: Window) -> str:
    """The window in words."""
    end = given.as_of if given.until is None else min(given.until, given.as_of)
    return f"up to {moment(end)}" if given.since is None else f"from {moment(given.since)} to {moment(end)}"


def version(name: str) -> str:
    """A version of the model; some requests name none."""
    return shell.printable(name) or "(no version named)"


def category(name: str) -> str:
    """A category; some requests name none."""
    return shell.printable(name) or "(none named)"


def band(name: str) -> str:
    """A band; some answers have none."""
    return name or "(no band)"


def finding(verdict: PromiseVerdict | None) -> str:
    """The verdict in capitals."""
    if verdict is None:
        return NONE
    return f"{verdict.finding.value}, OVERDUE" if verdict.overdue else verdict.finding.value


def promise(verdict: PromiseVerdict | None) -> str:
    """What is promised."""
    return NONE if verdict is None else f"{verdict.promised:.4g}"


def reason(row: Row) -> str:
    """Why the verdict is what it is, what would change it, and whether it is late; empty without a verdict."""
    found = row.verdict
    if found is None:
        return ""
    due = ""
    if found.by is not None and found.finding is not Finding.SHOWN:
        due = f" It {'was' if found.overdue else 'is'} to be shown by {found.by.isoformat()}."
    return _reason(row, found) + due


def _reason(row: Row, found: PromiseVerdict) -> str:
    low, high = found.interval
    level = f"{found.level:.4g}"
    ends = f"the {level} interval of {row.estimate.method_decisive} is {low:.4f} to {high:.4f}"
    if found.finding is Finding.SHOWN:
        return f"{ends}: its lower end reaches the promise of {found.promised:.4g}."
    if found.finding is Finding.BROKEN:
        return f"{ends}: all of it lies below the promise of {found.promised:.4g}."
    if found.finding is Finding.TOO_FEW:
        text = (
            f"the labels are worth {math.floor(row.estimate.n_effective)} independent ones, and below "
            f"{LEAST_EFFECTIVE} nothing is claimed"
        )
    else:
        text = f"{ends}, with the promise of {found.promised:.4g} inside"
        if row.estimate.uncovered > 0.0 and low < found.promised:
            text += f" (nothing is known of the {share(row.estimate.uncovered)} of decisions in strata without a label)"
    if found.more_labels is None:
        return f"{text}; no number of further labels like these would decide it."
    return f"{text}; about {count(found.more_labels)} more labels would decide, if the share of right answers stays."


def no_answers(reasons: Mapping[NoAnswer, int]) -> str:
    """The planned reviews that tell nothing, by reason."""
    return ", ".join(f"{number} {why.value}" for why, number in reasons.items()) or "none"


def acted(model_mode: str) -> str:
    """What the decisions did that act in this mode; in `observe` nothing acts."""
    return "would have acted" if model_mode == "observe" else "acted"


def decider(who: str, acted: str) -> str:
    """Who decided, in words; `acted` as of `acted`."""
    return DECIDERS[who].format(acted=acted)


def ending(each: EndingCount) -> str:
    """How held decisions ended, in words."""
    if each.kind is None:
        return "wait for a person"
    name = str(each.kind).lower()
    return name if each.by_person or name == "expired" else f"{name}, not by a person"


def scope(given: Scope) -> str:
    """What a suspension covers."""
    return shell.printable(suspensions.text(given))


def name(row: Row, acted: str = "acted") -> str:
    """What a row is about; `acted` as of `acted`."""
    if row.kind == "band":
        return row.band
    if row.kind == "category":
        return f"category {category(row.category)}"
    if row.kind == "cell":
        return f"{row.band} in {category(row.category)}"
    if row.kind == "rest":
        return f"{band(row.band)}, {row.action}"
    return f"all that {acted}" if row.kind == "acted" else "all answers"


def summary(tables: Tables) -> str:
    """How the promises of bands and categories stand, in one sentence."""
    verdicts = [row.verdict for row in (*tables.bands, *tables.categories) if row.verdict is not None]
    if not verdicts:
        return "Nothing is promised."
    counts = [(finding, sum(each.finding is finding for each in verdicts)) for finding in Finding]
    parts = [f"{n} {finding.value}" for finding, n in counts if n]
    late = sum(each.overdue for each in verdicts)
    overdue = f"; {late} OVERDUE" if late else ""
    return f"Promises of bands and categories, {len(verdicts)} in all: {', '.join(parts)}{overdue}."

"""What a replay shows: the table, what happened when, and what it cost; for people and as a document."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action
from sidecar.times import day_of
from training.replay.periods import BandPeriod, Period
from training.replay.routing import History
from training.replay.simulation import Plan, Raised, ReplayStep, SimulatedRetrain

SCHEMA = 1


def show(
    screen: Console,
    history: History,
    steps: Sequence[ReplayStep],
    table: Sequence[BandPeriod],
    *,
    plan: Plan,
    period: Period,
) -> None:
    """Prints the table, then the events in their order, then the sums."""
    screen.print(_table(table, period))
    events = _events(history, steps)
    if events:
        screen.print("What happened")
        for at, text in events:
            screen.print(f"  {day_of(at)}  {escape(text)}", soft_wrap=True)
    screen.print()
    for line in _sums(history, steps, plan):
        screen.print(escape(line), soft_wrap=True)


def document(
    history: History,
    steps: Sequence[ReplayStep],
    table: Sequence[BandPeriod],
    *,
    plan: Plan,
    period: Period,
    policy: str,
) -> dict[str, object]:
    """The same as plain JSON values."""
    return {
        "schema": SCHEMA,
        "model": plan.model,
        "policy_digest": policy,
        "rows": len(history),
        "from": str(day_of(float(history.times[0]))),
        "to": str(day_of(float(history.times[-1]))),
        "period": period,
        "bands": [
            {name: getattr(row, name) for name in BandPeriod.__slots__ if name != "calibrators"}
            | {"calibrators": list(row.calibrators)}
            for row in table
        ],
        "alarms": [_alarm(raised) for step in steps for raised in step.alarms],
        "score_shifts": [
            {"psi": step.shift.psi, "ks": step.shift.ks, "n": step.shift.n, "warns": step.shift.warns}
            for step in steps
            if step.shift is not None
        ],
        "retrains": [
            {name: getattr(step.retrain, name) for name in SimulatedRetrain.__slots__}
            for step in steps
            if step.retrain is not None
        ],
        "totals": dict(totals(history, steps)),
    }


def totals(history: History, steps: Sequence[ReplayStep]) -> Mapping[str, float]:
    """Counts over the whole history, and shares in [0, 1]."""
    acted = np.concatenate([step.routed.acted for step in steps])
    held = np.concatenate([step.routed.held for step in steps])
    drawn = np.concatenate([step.routed.drawn for step in steps])
    batch = np.concatenate([step.routed.batch for step in steps])
    rows = np.concatenate([step.routed.rows for step in steps])
    correct = history.correct[rows]
    numbers: dict[str, float] = {
        "decisions": float(rows.size),
        "acted": float(acted.sum()),
        "acted_wrong": float((acted & ~correct).sum()),
        "held": float(held.sum()),
        "audits": float((drawn & ~held).sum()),
        "batch_reviews": float(batch.sum()),
    }
    return numbers


def _table(rows: Sequence[BandPeriod], period: Period) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="", pad_edge=False)
    table.add_column(period, no_wrap=True)
    table.add_column("band", no_wrap=True)
    for heading in ("decisions", "acted", "held", "audits", "right, by the audits", "right, in truth"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("calibrator", justify="right", no_wrap=True)
    last = ""
    for row in rows:
        first, final = row.calibrators
        estimate = ""
        if row.estimate is not None:
            estimate = f"{row.estimate:.1%} ({row.low:.1%} to {row.high:.1%})"
        table.add_row(
            row.period if row.period != last else "",
            row.band or "(none)",
            f"{row.decisions:,}",
            f"{row.acted:,}",
            f"{row.held:,}",
            f"{row.drawn:,}",
            estimate,
            "" if row.truth is None else f"{row.truth:.1%}",
            f"{first}" if first == final else f"{first} to {final}",
        )
        last = row.period
    return table


def _events(history: History, steps: Sequence[ReplayStep]) -> list[tuple[float, str]]:
    events: list[tuple[float, str]] = []
    held_back = 0
    for step in steps:
        events += [(raised.alarm.label_at, _told(raised)) for raised in step.alarms]
        events += [
            (
                suspension.suspended_at,
                (
                    f"SUSPENDED: {suspension.scope.band}, as the policy says; held until a person lifts it, which "
                    "is taken to be at the next promotion"
                ),
            )
            for suspension in step.suspended
        ]
        if step.shift is not None and step.shift.warns and step.routed.rows.size:
            ended = float(history.times[step.routed.rows[-1]])
            events.append(
                (
                    ended,
                    (
                        f"WARNING, the scores have moved: stability index {step.shift.psi:.3f}, distance "
                        f"{step.shift.ks:.3f} from those that the calibrator was fitted to"
                    ),
                )
            )
        retrain = step.retrain
        if retrain is None:
            continue
        if retrain.promoted:
            also = f" ({held_back} retrains before it kept the champion)" if held_back else ""
            events.append(
                (
                    retrain.at,
                    f"PROMOTED: {retrain.kind}, from {retrain.labels:,} labels{also}: {retrain.told}",
                )
            )
            held_back = 0
        else:
            held_back += 1
    retrains = [step.retrain for step in steps if step.retrain is not None]
    if held_back and retrains:
        last = retrains[-1]
        events.append(
            (last.at, f"{held_back} retrains up to here promoted nothing; the last one: {last.told}")
        )
    return sorted(events, key=lambda event: event[0])


def _told(raised: Raised) -> str:
    alarm, stream = raised.alarm, raised.stream
    category = f", category {stream.category}" if stream.category else ""
    name = f"{stream.band}{category}, audited at {stream.audit_rate:g}"
    if alarm.kind == "ACCURACY":
        promise = "" if stream.promise is None else f" where {stream.promise:.0%} is promised"
        return (
            f"ALARM, accuracy of {name}: {alarm.correct:,} of {alarm.labels:,} audits right{promise}; "
            f"found by the {alarm.detector} detector"
        )
    return (
        f"ALARM, calibration of {name}: its confidences do not mean what they say ({alarm.labels:,} audits)"
    )


def _sums(history: History, steps: Sequence[ReplayStep], plan: Plan) -> list[str]:
    numbers = totals(history, steps)
    n = numbers["decisions"]
    wrong = numbers["acted_wrong"] / max(numbers["acted"], 1.0)
    lines = [
        (
            f"{n:,.0f} decisions: {numbers['acted']:,.0f} acted ({numbers['acted'] / n:.1%}), of which {wrong:.2%} "
            f"were wrong; {numbers['held']:,.0f} waited for a person."
        ),
        (
            f"Labels spent: {numbers['held']:,.0f} by the people who decided the holds, {numbers['audits']:,.0f} "
            f"audits; {numbers['batch_reviews']:,.0f} next-day looks were due and taught nothing here."
        ),
    ]
    if not any(step.alarms for step in steps):
        lines.append("No alarm was raised.")
    lowest = _lowest_automatic(plan)
    if lowest is not None:
        raw = history.scores >= lowest
        share = float(raw.mean())
        right = f"{float((~history.correct[raw]).mean()):.2%} of these were wrong" if raw.any() else "none"
        lines.append(
            f"The same cut-off on the raw score ({lowest:g}) would have let {share:.1%} act; {right}."
        )
    return lines


def _lowest_automatic(plan: Plan) -> float | None:
    edges = [float(band.from_) for band in plan.entry.bands if band.action in AUTOMATIC_ACTIONS]
    return min(edges, default=None)


def _alarm(raised: Raised) -> dict[str, object]:
    alarm, stream = raised.alarm, raised.stream
    return {
        "at": str(day_of(alarm.label_at)),
        "kind": alarm.kind,
        "detector": alarm.detector,
        "band": stream.band,
        "category": stream.category,
        "audit_rate": stream.audit_rate,
        "action": str(Action(stream.action)),
        "promise": stream.promise,
        "labels": alarm.labels,
        "correct": alarm.correct,
        "log_evidence": alarm.log_evidence,
        "log_needed": alarm.log_needed,
    }

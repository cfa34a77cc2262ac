"""What a look found, for people: a table of the streams, and sentences for all that it has no room for."""

import math
from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from sidecar import times
from training.watch import challenger, e_values
from training.watch.breach import Thresholds
from training.watch.challenger import Comparison
from training.watch.model_look import Look
from training.watch.score_shift import VersionShift
from training.watch.state import Alarm, StreamState
from training.watch.streams import ID_BYTES

KEPT_NAME = 16
"""So many characters of a stream's name stay on one line, however narrow the table; nothing of it is cut off."""


def table(look: Look) -> Table:
    """The streams that are watched now, a row each; names stay whole, and evidence wraps, where it is narrow."""
    grid = Table(box=box.SIMPLE_HEAD, header_style="", pad_edge=False, padding=(0, 1, 0, 0))
    names = [_name(state) for state in look.states]
    width = max((len(name) for name in names), default=0)
    grid.add_column(look.model, overflow="fold", width=min(max(2 * ID_BYTES, width), KEPT_NAME))
    for heading in ("labels", "correct", "promised"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for heading, least in (("evidence: broken", 10), ("changed", 8), ("confidence off", 10)):
        grid.add_column(heading, justify="right", min_width=least)
    thresholds = Thresholds.of(look.rate)
    for name, state in zip(names, look.states, strict=True):
        evidence = change = promised = "-"
        if state.stream.promise is not None:
            promised = f"{state.stream.promise:.1%}"
            evidence = f"{_short(state.mixture_log_e)} of {e_values.odds(look.accuracy_needed(state))}"
            needed = e_values.shown(thresholds.change_log_statistic)
            change = f"{_short(state.change_log_statistic)} of {needed}"
        drift = "-"
        if state.drift.labels:
            drift = f"{_short(state.drift_log_e)} of {e_values.odds(look.calibration_needed(state))}"
        alarmed = state in look.alarmed
        grid.add_row(
            Text("\n".join([name, state.stream.id, *(["ALARM"] if alarmed else [])])),
            f"{state.labels:,}",
            f"{state.correct / state.labels:.1%}" if state.labels else "-",
            promised,
            evidence,
            change,
            drift,
            style="bold" if alarmed else None,
        )
    return grid


def of(look: Look) -> Iterator[str]:
    """What the table has no room for: alarms, all streams together, scores, challengers, and what was left out."""
    if not look.states:
        yield (
            f"{look.model}: no label of an audit speaks of what decides now: its first alarm needs audits of answers "
            "that acted under the calibrator in force; those under earlier ones say nothing of it"
        )
    for state in look.states:
        for alarm in state.alarms:
            yield _alarm(state, alarm)
    if len(look.accuracy.log_e) > 1:
        named = [state.stream.id for state in look.states if state.stream in look.accuracy.named]
        yield (
            f"All {len(look.accuracy.log_e)} promises together: evidence {e_values.odds(look.accuracy.log_mean)} that "
            f"any is broken, {e_values.odds(-math.log(look.rate))} needed; e-BH at {look.rate:g} names "
            f"{', '.join(named) or 'none'}"
        )
    for shift in look.shifts:
        yield _scores(look, shift)
    for compared in look.challengers:
        yield _challenger(look, compared)
    for each in look.past:
        if any(alarm.is_open for alarm in each.alarms):
            yield f"Past: {each.stream.id} ({each.stream}), alarm under a calibrator or promise that is no more"
    for reason, count in sorted(look.left_out.items()):
        yield f"Left out: {count:,} labels {reason}"


def _alarm(state: StreamState, alarm: Alarm) -> str:
    what = f"{alarm.kind} alarm of {state.stream.id} ({state.stream}) since {times.rfc3339(alarm.fired_at)}"
    basis = (
        f"the {alarm.detector} detector had {e_values.odds(alarm.log_evidence)} of "
        f"{e_values.odds(alarm.log_needed)} after {alarm.labels:,} labels, {alarm.correct:,} of them correct"
    )
    text = f"{what}: {basis}"
    if alarm.kind == "CALIBRATION" and state.drift.labels:
        gap = state.drift.gap_sum / state.drift.labels
        text += f"; confidence minus accuracy is {gap:+.1%} by now"
    if alarm.suspension_id:
        text += f"; suspension {alarm.suspension_id} was set"
    if not alarm.is_open:
        text += f"; {alarm.acknowledged_by} took note: {alarm.acknowledged_reason}"
    return text


def _scores(look: Look, scores: VersionShift) -> str:
    name = f"Scores of {look.model} {scores.model_version}".rstrip()
    if scores.shift is None:
        return f"{name}: not compared, {scores.reference}"
    shift = scores.shift
    text = (
        f"{name}: {shift.n:,} beside {scores.reference}, PSI {shift.psi:.3f} (warns from {shift.psi_bound:.3f}), "
        f"KS {shift.ks:.3f} (from {shift.ks_bound:.3f})"
    )
    if not shift.warns:
        return text
    since = times.rfc3339(look.memory.shifted_since.get(scores.model_version, look.at))
    return (
        f"{text}: WARNING since {since}: other scores than at the fit; that is no reason to refit by itself"
    )


def _challenger(look: Look, comparison: Comparison) -> str:
    held, needed = comparison.challenger, challenger.log_needed(look.rate)
    ahead, behind = comparison.evidence.log_e, comparison.evidence.log_e_reverse
    better, evidence = ("challenger", ahead) if ahead >= behind else ("champion", behind)
    text = (
        f"Challenger of {look.model} {comparison.model_version}".rstrip()
        + f", {held.name} version {held.version} beside version {comparison.champion.version}: "
        f"on {comparison.evidence.labels:,} audit labels its mean Brier score is "
        f"{comparison.brier_challenger:.4f}, the champion's {comparison.brier_champion:.4f} "
        f"({-comparison.difference:+.4f}); evidence {e_values.odds(evidence)} that the {better} is better "
        f"({e_values.odds(needed)} would do)"
    )
    if ahead < needed or behind >= needed or comparison.difference <= 0.0:
        return text
    return (
        f"{text}; a person may promote it: trueband-training promote {held.version} --name {held.name} "
        "--reason TEXT"
    )


def _short(log_e: float) -> str:
    """Evidence for a narrow column: from a million on, as a power of ten."""
    if log_e >= math.log(e_values.BEYOND):
        return f">1e{math.log10(e_values.BEYOND):.0f}"
    return f"{math.exp(log_e):.0e}".replace("e+0", "e") if log_e >= math.log(1e6) else e_values.shown(log_e)


def _name(state: StreamState) -> str:
    stream = state.stream
    parts = [f"{stream.band} {stream.model_version}".rstrip()]
    parts += [stream.category] if stream.category else []
    parts += [stream.source.lower()] if stream.source != "PRIMARY" else []
    return ", ".join(parts)

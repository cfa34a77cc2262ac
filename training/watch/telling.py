"""What a look found, told to people as a table with sentences, and to programs as a document."""

import math
from collections.abc import Iterator

from rich import box
from rich.table import Table

from sidecar import times
from training.watch import challenger, e_values
from training.watch.breach import Thresholds
from training.watch.challenger import Shadowed
from training.watch.model_look import Look
from training.watch.score_shift import VersionShift
from training.watch.state import Alarm, StreamState
from training.watch.streams import ID_BYTES


def table(look: Look) -> Table:
    """The streams that are watched now, a row each."""
    made = Table(box=box.SIMPLE_HEAD, header_style="", pad_edge=False)
    made.add_column("stream", no_wrap=True, min_width=2 * ID_BYTES)
    made.add_column(look.model)
    for heading in ("labels", "correct", "promised", "evidence: broken", "changed", "miscalibrated"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("", no_wrap=True)
    thresholds = Thresholds.of(look.rate)
    for state in look.states:
        evidence = change = promised = "-"
        if state.stream.promise is not None:
            promised = f"{state.stream.promise:.1%}"
            evidence = (
                f"{e_values.shown(state.mixture_log_e)} of {e_values.odds(accuracy_needed(look, state))}"
            )
            needed = e_values.shown(thresholds.change_log_statistic)
            change = f"{e_values.shown(state.change_log_statistic)} of {needed}"
        drift = "-"
        if state.drift.labels:
            drift = f"{e_values.shown(state.drift_log_e)} of {e_values.odds(calibration_needed(look, state))}"
        made.add_row(
            state.stream.id,
            _name(state),
            f"{state.labels:,}",
            f"{state.correct / state.labels:.1%}" if state.labels else "-",
            promised,
            evidence,
            change,
            drift,
            "ALARM" if state in look.alarmed else "",
            style="bold" if state in look.alarmed else None,
        )
    return made


def sentences(look: Look) -> Iterator[str]:
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
    for shadowed in look.shadowed:
        yield _challenger(look, shadowed)
    for each in look.past:
        if any(alarm.is_open for alarm in each.alarms):
            yield f"Past: {each.stream.id} ({each.stream}), alarm under a calibrator or promise that is no more"
    for reason, count in sorted(look.left_out.items()):
        yield f"Left out: {count:,} labels {reason}"


def document(look: Look) -> dict[str, object]:
    """What a look found, as JSON has it; logarithms that are minus infinity are null."""
    thresholds = Thresholds.of(look.rate)
    return {
        "at": times.rfc3339(look.at),
        "false_alarm_rate": look.rate,
        "streams": [_stream(look, state, thresholds) for state in look.states],
        "all_streams": {
            "accuracy_log_evidence": _finite(look.accuracy.log_mean),
            "calibration_log_evidence": _finite(look.calibration.log_mean),
            "log_needed": -math.log(look.rate),
            "accuracy_named_by_e_bh": sorted(stream.id for stream in look.accuracy.named),
            "calibration_named_by_e_bh": sorted(stream.id for stream in look.calibration.named),
        },
        "score_shift": [
            {
                "model_version": each.model_version,
                "calibrator": each.calibrator,
                "reference": each.reference,
                "psi": None if each.shift is None else each.shift.psi,
                "ks": None if each.shift is None else each.shift.ks,
                "n": None if each.shift is None else each.shift.n,
                "warns": each.shift is not None and each.shift.warns,
            }
            for each in look.shifts
        ],
        "challengers": [
            {
                "model_version": each.model_version,
                "champion": each.champion.digest,
                "challenger": each.challenger.digest,
                "name": each.challenger.name,
                "version": each.challenger.version,
                "labels": each.evidence.labels,
                "left_out": each.left_out,
                "brier_champion": each.brier_champion,
                "brier_challenger": each.brier_challenger,
                "log_evidence": each.evidence.log_e,
                "log_evidence_champion": each.evidence.log_e_reverse,
                "log_needed": challenger.log_needed(look.rate),
            }
            for each in look.shadowed
        ],
        "left_out": look.left_out,
    }


def metrics(look: Look) -> dict[str, float]:
    """What a look found, as MLflow's metrics."""
    found: dict[str, float] = {"all_streams/log_evidence": look.accuracy.log_mean}
    for state in look.states:
        stream = state.stream
        parts = (stream.model_version or "any", stream.band, stream.category, stream.id)
        prefix = "/".join(part for part in parts if part)
        found |= {
            f"{prefix}/labels": state.labels,
            f"{prefix}/correct": state.correct,
            f"{prefix}/calibration_log_evidence": state.drift_log_e,
            f"{prefix}/alarm": float(any(alarm.is_open for alarm in state.alarms)),
        }
        if stream.promise is not None:
            found |= {
                f"{prefix}/promise": stream.promise,
                f"{prefix}/accuracy_log_evidence": state.mixture_log_e,
                f"{prefix}/change_log_statistic": state.change_log_statistic,
            }
    for each in look.shifts:
        if each.shift is not None:
            prefix = f"{each.model_version or 'any'}/score_shift"
            found |= {f"{prefix}/psi": each.shift.psi, f"{prefix}/ks": each.shift.ks}
    for shadowed in look.shadowed:
        prefix = f"{shadowed.model_version or 'any'}/challenger"
        found |= {
            f"{prefix}/labels": shadowed.evidence.labels,
            f"{prefix}/brier_difference": shadowed.difference,
            f"{prefix}/log_evidence": shadowed.evidence.log_e,
            f"{prefix}/log_evidence_champion": shadowed.evidence.log_e_reverse,
        }
    return found


def accuracy_needed(look: Look, state: StreamState) -> float:
    """The ln of the mixture's evidence at which the stream raises an alarm, if the other streams stay as they are."""
    alone = Thresholds.of(look.rate).mixture_log_e
    among = look.accuracy.log_mixture_needed
    return alone if state.stream in look.accuracy.named else max(alone, among)


def calibration_needed(look: Look, state: StreamState) -> float:
    """The ln of the drift's evidence at which the stream raises an alarm, likewise."""
    alone = -math.log(look.rate)
    return alone if state.stream in look.calibration.named else max(alone, look.calibration.log_needed)


def _alarm(state: StreamState, alarm: Alarm) -> str:
    what = f"{alarm.kind} alarm of {state.stream.id} ({state.stream}) since {times.rfc3339(alarm.fired_at)}"
    basis = (
        f"the {alarm.detector} detector had {e_values.odds(alarm.log_evidence)} of "
        f"{e_values.odds(alarm.log_needed)} after {alarm.labels:,} labels, {alarm.correct:,} of them correct"
    )
    told = f"{what}: {basis}"
    if alarm.kind == "CALIBRATION" and state.drift.labels:
        gap = state.drift.gap_sum / state.drift.labels
        told += f"; confidence minus accuracy is {gap:+.1%} by now"
    if alarm.suspension_id:
        told += f"; suspension {alarm.suspension_id} was set"
    if not alarm.is_open:
        told += f"; {alarm.acknowledged_by} took note: {alarm.acknowledged_reason}"
    return told


def _scores(look: Look, each: VersionShift) -> str:
    name = f"Scores of {look.model} {each.model_version}".rstrip()
    if each.shift is None:
        return f"{name}: not compared, {each.reference}"
    shift = each.shift
    told = (
        f"{name}: {shift.n:,} beside {each.reference}, PSI {shift.psi:.3f} (warns from {shift.psi_bound:.3f}), "
        f"KS {shift.ks:.3f} (from {shift.ks_bound:.3f})"
    )
    if not shift.warns:
        return told
    since = times.rfc3339(look.memory.shifted_since.get(each.model_version, look.at))
    return (
        f"{told}: WARNING since {since}: other scores than at the fit; that is no reason to refit by itself"
    )


def _challenger(look: Look, each: Shadowed) -> str:
    held, needed = each.challenger, challenger.log_needed(look.rate)
    ahead, behind = each.evidence.log_e, each.evidence.log_e_reverse
    better, evidence = ("challenger", ahead) if ahead >= behind else ("champion", behind)
    told = (
        f"Challenger of {look.model} {each.model_version}".rstrip()
        + f", {held.name} version {held.version} beside version {each.champion.version}: on {each.evidence.labels:,} "
        f"audit labels its mean Brier score is {each.brier_challenger:.4f}, the champion's {each.brier_champion:.4f} "
        f"({-each.difference:+.4f}); evidence {e_values.odds(evidence)} that the {better} is better "
        f"({e_values.odds(needed)} would do)"
    )
    if ahead < needed or behind >= needed or each.difference <= 0.0:
        return told
    return (
        f"{told}; a person may promote it: python -m training promote {held.version} --name {held.name} "
        "--reason TEXT"
    )


def _stream(look: Look, state: StreamState, thresholds: Thresholds) -> dict[str, object]:
    stream = state.stream
    return {
        "stream": stream.id,
        "model": stream.model,
        "model_version": stream.model_version,
        "source": stream.source,
        "band": stream.band,
        "action": stream.action,
        "audit_rate": stream.audit_rate,
        "category": stream.category,
        "calibrator": stream.calibrator,
        "promise": stream.promise,
        "since": times.rfc3339(state.began_at),
        "labels": state.labels,
        "correct": state.correct,
        "accuracy_log_evidence": state.mixture_log_e if stream.promise is not None else None,
        "accuracy_log_needed": accuracy_needed(look, state) if stream.promise is not None else None,
        "change_log_statistic": _finite(state.change_log_statistic),
        "change_log_needed": thresholds.change_log_statistic if stream.promise is not None else None,
        "calibration_log_evidence": state.drift_log_e,
        "calibration_log_needed": calibration_needed(look, state),
        "mean_overconfidence": state.drift.gap_sum / state.drift.labels if state.drift.labels else None,
        "alarms": [
            {
                "kind": alarm.kind,
                "detector": alarm.detector,
                "since": times.rfc3339(alarm.fired_at),
                "labels": alarm.labels,
                "correct": alarm.correct,
                "log_evidence": alarm.log_evidence,
                "log_needed": alarm.log_needed,
                "suspension_id": alarm.suspension_id,
                "open": alarm.is_open,
                "acknowledged_by": alarm.acknowledged_by,
                "acknowledged_reason": alarm.acknowledged_reason,
            }
            for alarm in state.alarms
        ],
    }


def _name(state: StreamState) -> str:
    stream = state.stream
    parts = [f"{stream.band} {stream.model_version}".rstrip()]
    parts += [stream.category] if stream.category else []
    parts += [stream.source.lower()] if stream.source != "PRIMARY" else []
    return ", ".join(parts)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

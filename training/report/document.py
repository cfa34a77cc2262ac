"""The report as a JSON document, for programs: `schema` names its form, which changes only with that name.

`trueband.report/1` is an object of

* `schema`, `made_at`, `policy_digest`, `floors_digest` (null: none), `resolution_version`, `pooled`;
* `window`: `since` (null: from the first decision), `until`, `as_of`;
* `models`: a list of `model`, `mode` (`enforce`; under `observe`, "acted" means what would have acted), `bands` of
  the policy, `versions`, `shadow_requests`, `repeated_answers`, `queue`, `held_outcomes`, `reviewers`,
  `calibrators_in_force`, `suspensions`, `governance`, `answers_by_calibrator` and `answers_by_policy`.

A version has `version`, `all_answers`, `acted`, `bands`, `categories`, `cells`, `not_acted` (rows; the first two are
one row each), `categories_without_a_row`, `calibration` and `calibration_of_acted`, `mandatory`, `weekly`, `decided_by`
and `labels_left_out`.

A row has what it is about (`band`, `category`, `action`; null: all, or none), `without_categories`, exact counts
(`decisions`, `drawn`), `audits` (`tasks`, `answered`, `waiting`, ages of the waiting ones in seconds), `labels`,
`labels_effective`, `accuracy` (null: no label tells), `interval` (95 %, for people) with `interval_method`,
`unlabelled_strata_share`, `naive_accuracy` and `naive_labels` (the plain mean of all labels, which is no estimate),
`band_edge`, `mean_confidence`, `no_answer` (counts by reason), `worst_case` (the accuracy if every missing answer
said wrong, and if every one said right) and `verdict` (null: nothing is promised): `finding` (SHOWN, BROKEN, NOT_SHOWN,
TOO_FEW), `overdue`, `promised`, `by`, `level`, `interval` (of that level, which decides) with `interval_method`, and
`more_labels` (0: decided; null: no number of further labels like these would decide).

Shares are in [0, 1], intervals are pairs, moments ISO 8601 in UTC, ages seconds. What cannot be said is null.
"""

import json
from typing import Any

import msgspec

from sidecar import times
from sidecar.decision.records import Governance, InForce
from sidecar.decision.suspensions import Suspension
from training.measure.post_stratified import Estimate
from training.measure.verdict import PromiseVerdict
from training.report.content import Calibration, Mandatory, ModelReport, Report, VersionReport
from training.report.rows import Maturity, Row

SCHEMA = "trueband.report/1"

Object = dict[str, Any]


def dumps(report: Report) -> str:
    """The document as text, indented, with a line break at its end."""
    return json.dumps(as_document(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_document(report: Report) -> Object:
    """The document."""
    window = report.window
    return {
        "schema": SCHEMA,
        "made_at": _moment(report.made_at),
        "window": {
            "since": _moment(window.since),
            "until": _moment(window.as_of if window.until is None else min(window.until, window.as_of)),
            "as_of": _moment(window.as_of),
        },
        "policy_digest": report.policy_digest,
        "floors_digest": report.floors_digest or None,
        "resolution_version": report.resolution_version,
        "pooled": report.pooled,
        "models": [_model(model) for model in report.models],
    }


def _model(report: ModelReport) -> Object:
    said = report.judgements
    return {
        "model": report.model,
        "mode": report.mode,
        "bands": [
            {"name": band.name, "from": float(band.from_), "action": band.action.value}
            for band in report.bands
        ],
        "versions": [_version(version) for version in report.versions],
        "shadow_requests": report.shadow,
        "repeated_answers": report.repeated,
        "queue": [msgspec.to_builtins(each) for each in report.queue],
        "held_outcomes": [
            {"outcome": each.kind or "WAITING", "by_person": each.by_person, "decisions": each.n}
            for each in report.endings
        ],
        "reviewers": {
            "blind_judgements": said.blind,
            "blind_disagree": said.blind_disagree,
            "seen_judgements": said.seen,
            "seen_disagree": said.seen_disagree,
            "doubly_reviewed": said.doubled,
            "doubly_agreed": said.agreed,
        },
        "calibrators_in_force": [_in_force(each) for each in report.in_force],
        "suspensions": [_suspension(each) for each in report.suspensions],
        "governance": [_governance(each) for each in report.governance],
        "answers_by_calibrator": dict(sorted(report.calibrators.items())),
        "answers_by_policy": dict(sorted(report.policies.items())),
    }


def _version(report: VersionReport) -> Object:
    found = report.tables
    return {
        "version": report.version,
        "all_answers": row(found.answers),
        "acted": row(found.acted),
        "bands": [row(each) for each in found.bands],
        "categories": [row(each) for each in found.categories],
        "cells": [row(each) for each in found.cells],
        "not_acted": [row(each) for each in found.rest],
        "categories_without_a_row": found.unshown,
        "calibration": _calibration(report.calibration),
        "calibration_of_acted": _calibration(report.acting),
        "mandatory": _mandatory(report.mandatory),
        "weekly": [
            {
                "band": each.band,
                "weeks": [
                    {"week": point.week, "monday": point.monday.isoformat(), **_estimate(point.estimate)}
                    for point in each.points
                ],
            }
            for each in report.weeks
        ],
        "decided_by": dict(sorted(report.deciders.items())),
        "labels_left_out": dict(sorted(report.left_out.items())),
    }


def row(given: Row) -> Object:
    """A row as an object; see the module."""
    return {
        "band": given.band or None,
        "category": given.category if given.kind in ("category", "cell") else None,
        "action": given.action or None,
        "without_categories": list(given.without),
        "decisions": given.decisions,
        "drawn": given.drawn,
        "audits": _maturity(given.maturity),
        **_estimate(given.estimate),
        "interval": None if given.interval is None else list(given.interval),
        "interval_method": None if given.interval is None else given.method,
        "naive_accuracy": given.naive,
        "naive_labels": given.naive_labels,
        "band_edge": given.edge,
        "mean_confidence": given.mean_confidence,
        "no_answer": {reason.name: number for reason, number in given.no_answers.items()},
        "worst_case": None if given.worst is None else list(given.worst),
        "verdict": None if given.verdict is None else _verdict(given.verdict, given.estimate),
    }


def _estimate(estimate: Estimate) -> Object:
    return {
        "labels": estimate.labels,
        "labels_effective": estimate.n_effective,
        "accuracy": estimate.value,
        "interval": None if estimate.mean is None else list(estimate.shown()),
        "interval_method": None if estimate.mean is None else estimate.method_shown,
        "unlabelled_strata_share": estimate.uncovered,
    }


def _verdict(verdict: PromiseVerdict, estimate: Estimate) -> Object:
    return {
        "finding": verdict.finding.name,
        "overdue": verdict.overdue,
        "promised": verdict.promised,
        "by": None if verdict.by is None else verdict.by.isoformat(),
        "level": verdict.level,
        "interval": list(verdict.interval),
        "interval_method": None if estimate.mean is None else estimate.method_decisive,
        "more_labels": verdict.more_labels,
    }


def _maturity(given: Maturity) -> Object:
    return {
        "tasks": given.tasks,
        "answered": given.answered,
        "answered_share": given.share,
        "waiting": given.waiting,
        "waiting_median_age_seconds": given.median_age_seconds,
        "waiting_oldest_age_seconds": given.oldest_age_seconds,
    }


def _calibration(given: Calibration) -> Object | None:
    measured = given.evaluation
    if measured is None:
        return None
    return {
        "labels": measured.n,
        "labels_effective": measured.n_effective,
        "labelled_strata_share": given.covered,
        "bins": 15,
        "bins_are": "equal width",
        **measured.measures(),
        "accuracy": measured.accuracy,
    }


def _mandatory(given: Mandatory) -> Object:
    return {
        "categories": list(given.categories),
        "decisions": given.decisions,
        "acted": given.acted,
        "acted_in_category": given.acted_in_category,
        "leaks": given.leaks,
        "leak_rate": _leak(given.leak),
        "leak_rate_of_named": _leak(given.leak_named),
    }


def _leak(estimate: Estimate) -> Object:
    found = _estimate(estimate)
    return {"rate": found.pop("accuracy"), **found}


def _in_force(each: InForce) -> Object:
    return {
        "slot": each.slot,
        "name": each.name or None,
        "version": each.version or None,
        "digest": each.digest or None,
        "since": _moment(each.since),
        "sidecar_id": each.sidecar_id,
    }


def _suspension(each: Suspension) -> Object:
    return {
        "suspension_id": each.suspension_id,
        "scope": msgspec.to_builtins(each.scope),
        "explanation": each.explanation,
        "suspended_by": each.suspended_by,
        "suspended_at": _moment(each.suspended_at),
    }


def _governance(each: Governance) -> Object:
    return {
        "kind": each.kind,
        "subject": each.subject,
        "from": each.from_ or None,
        "to": each.to or None,
        "by": each.by,
        "reason": each.reason,
        "evidence": each.evidence or None,
        "happened_at": _moment(each.happened_at),
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else times.rfc3339(seconds, "auto")

"""What of a decision is kept in memory after it was answered, and about how many bytes that takes.

A request may bring 131,072 log-probabilities or 64 KiB of context; none of that is needed once it is journaled.
"""

import math

import msgspec

from calibrators import evidence
from calibrators.errors import EvidenceUnusable
from calibrators.evidence import Aggregation, Evidence
from sidecar.decision.records import Decision

BASE_BYTES = 1700
"""Measured: a decision with its query and its verdict, with one score and ids of usual length."""

VALUE_BYTES = 32
"""A float and its place in a tuple."""

SHORT = 16
"""Vectors of so many numbers are kept as they are."""

LEAST_LOGPROB = -1e300


def weight(decision: Decision) -> int:
    """About how many bytes of memory a decision takes."""
    query = decision.query
    texts = (query.request_id, query.subject_ref, query.group_key, query.category, query.predicted_class)
    size = BASE_BYTES + VALUE_BYTES * len(query.evidence.values) + sum(map(len, texts))
    for named in (query.context, query.attributes):
        size += sum(len(name) + (len(item) if isinstance(item, str) else 8) for name, item in named.items())
    return size


def answered(decision: Decision) -> Decision:
    """The decision without what a repeated answer does not tell: texts, attributes and long evidence."""
    return _replaced(decision, _short(decision.query.evidence))


def calibratable(decision: Decision, aggregation: Aggregation, kind: str) -> Decision:
    """The decision with what a calibrator reads of it alone.

    One log-probability stands for those that are aggregated to it, bit for bit; evidence of another kind than the
    policy's, which always holds, loses its numbers.

    Args:
        decision: as it was answered.
        aggregation: of token log-probabilities, by the policy.
        kind: of evidence, by the policy.
    """
    given = decision.query.evidence
    if given.kind != kind:
        return _replaced(decision, _short(given))
    if given.kind == "token_logprobs" and len(given.values) > 1:
        try:
            whole = evidence.aggregated(given.values, aggregation)
        except EvidenceUnusable:
            return _replaced(decision, _short(given))
        given = given._replace(values=(whole if math.isfinite(whole) else LEAST_LOGPROB,))
    return _replaced(decision, given)


def _short(given: Evidence) -> Evidence:
    return given if len(given.values) <= SHORT else given._replace(values=())


def _replaced(decision: Decision, given: Evidence) -> Decision:
    query = decision.query
    if given is query.evidence and not query.context and not query.attributes:
        return decision
    query = msgspec.structs.replace(query, evidence=given, context={}, attributes={})
    return msgspec.structs.replace(decision, query=query)

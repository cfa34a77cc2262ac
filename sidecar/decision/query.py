"""What is asked, in our own words: no protobuf past this point."""

import msgspec

from calibrators.evidence import Evidence
from sidecar import errors
from sidecar.policy import categories
from sidecar.policy.actions import Intent
from sidecar.policy.tables import ModelTable


class Query(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer of a model, well formed, and what is known about it.

    `fingerprint` identifies the body of a request that has a request_id; `positive_class` is the caller's
    name of the positive class, for evidence of that kind; `principal` is the name of who asks. `occurred_at` is in
    seconds since the epoch; None: when it was decided.
    """

    model: str
    evidence: Evidence
    occurred_at: float | None = None
    tenant: str = ""
    model_version: str = ""
    request_id: str = ""
    subject_ref: str = ""
    group_key: str = ""
    category: str = ""
    category_from_model: bool = False
    predicted_class: str = ""
    positive_class: str = ""
    answer_digest: str = ""
    intent: Intent = Intent.LIVE
    attributes: dict[str, str | float | bool] = {}
    context: dict[str, str] = {}
    principal: str = ""
    fingerprint: bytes = b""


def tied(query: Query, table: ModelTable) -> Query:
    """The query as it is decided: its category in normal form, its evidence tied to the answer that is given.

    Vectors and positive probabilities mean nothing without the policy's `classes`: from here on the evidence has
    the position of the given answer, and `predicted_class` its name. Evidence of another kind than the policy's is
    left as it is, since it will hold. Tying what is tied changes nothing.

    Raises:
        errors.InvalidRequest: the vector's length or the class does not fit the policy's `classes`.
    """
    category = categories.normalise(query.category)
    evidence, predicted_class = _tied_evidence(query, table)
    if (
        category == query.category
        and evidence is query.evidence
        and predicted_class == query.predicted_class
        and not query.positive_class
    ):
        return query
    return msgspec.structs.replace(
        query, category=category, evidence=evidence, predicted_class=predicted_class, positive_class=""
    )


def _tied_evidence(query: Query, table: ModelTable) -> tuple[Evidence, str]:
    evidence = query.evidence
    if evidence.kind in ("score", "token_logprobs") or evidence.kind != table.evidence:
        return evidence, query.predicted_class
    if evidence.kind == "positive_probability":
        return _tied_probability(query, table)
    names = table.class_index
    if len(evidence.values) != len(names):
        raise _invalid(
            f"evidence.{evidence.kind}.values",
            f"has {len(evidence.values)} numbers; the policy lists {len(names)} classes: {', '.join(names)}",
        )
    if not query.predicted_class:
        index = max(range(len(evidence.values)), key=evidence.values.__getitem__)
        return evidence._replace(answer_index=index), tuple(names)[index]
    position = names.get(query.predicted_class)
    if position is None:
        raise _invalid("predicted_class", f"is none of the policy's classes: {', '.join(names)}")
    return evidence._replace(answer_index=position), query.predicted_class


def _tied_probability(query: Query, table: ModelTable) -> tuple[Evidence, str]:
    names = tuple(table.class_index)
    positive = query.positive_class or (names[-1] if len(names) == 2 else "")
    if not positive:
        raise _invalid(
            "evidence.positive_probability.positive_class",
            "is needed where the policy does not list two `classes`",
        )
    if names and positive not in names:
        raise _invalid("evidence.positive_probability.positive_class", f"is none of: {', '.join(names)}")
    if names and query.predicted_class and query.predicted_class not in names:
        raise _invalid("predicted_class", f"is none of the policy's classes: {', '.join(names)}")
    if query.predicted_class:
        is_positive = query.predicted_class == positive
        return query.evidence._replace(answer_is_positive=is_positive), query.predicted_class
    is_positive = query.evidence.values[0] >= 0.5
    negative = (
        next((name for name in names if name != positive), f"not {positive}") if names else f"not {positive}"
    )
    return query.evidence._replace(answer_is_positive=is_positive), positive if is_positive else negative


def _invalid(field: str, description: str) -> errors.InvalidRequest:
    return errors.InvalidRequest((errors.Violation(field, description),))

"""What is asked of the router, in our own words: no protobuf past this point."""

import msgspec

from calibrators.evidence import Evidence
from sidecar.policy.actions import Intent


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a model, well formed, and what is known about it.

    `fingerprint` identifies the body of a request that has a request_id; `positive_class` is the caller's
    name of the positive class, for evidence of that kind; `principal` is the name of who asks.
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

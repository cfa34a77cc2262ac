"""Which role may call what, and who calls now."""

from collections.abc import Callable
from contextvars import ContextVar

import msgspec

from sidecar import errors
from sidecar.decision import tasks
from sidecar.decision.records import Label
from sidecar.service.principals import ANONYMOUS, Principal, Role

_CALLERS = frozenset({Role.CALLER})
_LABELLERS = frozenset({Role.CALLER, Role.REVIEWER, Role.LEAD})
_REVIEWERS = frozenset({Role.REVIEWER, Role.LEAD})
_OPERATORS = frozenset({Role.OPERATOR})
_WHO_MAY_SEE_DRAWS = frozenset({Role.REVIEWER, Role.LEAD, Role.AUDITOR})
_AUDITORS = frozenset({Role.AUDITOR, Role.LEAD})
READS_DECISIONS = _AUDITORS
"""Whoever has none of these reads back only what it asked for itself."""


SEES_EVERYTHING = frozenset({Role.REVIEWER, Role.LEAD, Role.AUDITOR, Role.OPERATOR})
"""Whoever has none of these sees only what became of its own requests."""

ROLES: dict[str, frozenset[Role]] = {
    "RoutingService/Route": _CALLERS,
    "RoutingService/RouteBatch": _CALLERS,
    "LabelService/RecordLabel": _LABELLERS,
    "LabelService/RecordLabels": _LABELLERS,
    # A label from an audit task says that the decision was drawn.
    "LabelService/GetLabels": _AUDITORS,
    "ReviewService/LeaseTasks": _REVIEWERS,
    "ReviewService/ExtendLease": _REVIEWERS,
    "ReviewService/CompleteTask": _REVIEWERS,
    "ReviewService/DeclineTask": _REVIEWERS,
    "ReviewService/ReleaseTask": _REVIEWERS,
    "ReviewService/GetTask": _WHO_MAY_SEE_DRAWS,
    "ReviewService/ListTasks": _WHO_MAY_SEE_DRAWS,
    "ReviewService/GetOutcome": SEES_EVERYTHING | _CALLERS,
    "ReviewService/WatchDecision": SEES_EVERYTHING | _CALLERS,
    "ReviewService/ListOutcomes": SEES_EVERYTHING | _CALLERS,
    # Not for reviewers: a blind task hides what is read here.
    "DecisionService/GetDecision": _AUDITORS | _CALLERS,
    "DecisionService/ListDecisions": _AUDITORS,
    "AdminService/GetStatus": _OPERATORS | _AUDITORS,
    "AdminService/ReloadNow": _OPERATORS,
    "AdminService/GetPolicy": _OPERATORS | _AUDITORS,
    "AdminService/Suspend": _OPERATORS,
    "AdminService/Resume": _OPERATORS,
    "AdminService/ListSuspensions": _OPERATORS | _AUDITORS,
}
"""By the last two parts of a method's name. What is not here, nobody may call."""

_calling: ContextVar[Principal] = ContextVar("principal", default=ANONYMOUS)
_renewing: ContextVar[Callable[[], None] | None] = ContextVar("renewal", default=None)


def enter(principal: Principal, renew: Callable[[], None] = lambda: None) -> None:
    """Says who makes the call that this context handles; gRPC handles each call in a context of its own.

    Args:
        principal: who calls.
        renew: finds out again whether it may; raises if not.
    """
    _calling.set(principal)
    _renewing.set(renew)


def renew() -> None:
    """Looks again whether the caller may go on, for whatever takes long.

    Raises:
        errors.Unauthenticated: its token was revoked.
        errors.NotPermitted: its role was taken away.
    """
    renewal = _renewing.get()
    if renewal is not None:
        renewal()


def principal() -> Principal:
    """Who makes the call that is being handled."""
    return _calling.get()


def name_as_router() -> str:
    """Under which name the caller routes, and so must not learn what was drawn; empty: it does not.

    Where nobody is told apart nothing can be kept from who routes.
    """
    caller = principal()
    return caller.name if caller.has_any(_CALLERS) and not caller.is_anonymous else ""


def roles_for(method: str) -> frozenset[Role]:
    """The roles of which a caller of a method, such as `/trueband.v1.RoutingService/Route`, needs one."""
    return ROLES.get(method.rpartition(".")[2], frozenset())


def check(caller: Principal, method: str, roles: frozenset[Role]) -> None:
    """Lets a principal with one of the roles pass.

    Raises:
        errors.NotPermitted: it has none of them.
    """
    if not caller.has_any(roles):
        needed = " or ".join(sorted(roles)) or "a role that does not exist yet"
        raise errors.NotPermitted(
            f"{caller.name} may not call {method.rpartition('/')[2]}: it needs the role {needed}; "
            "add it in the principals file"
        )


def checked_label(label: Label) -> Label:
    """The label, if the caller may record it.

    One that answers a task is by whoever calls. Any other one may tell which person said so elsewhere.

    Raises:
        errors.NotPermitted: the caller is no reviewer, and a task would end by its word.
        errors.NeedsCompletion: the task ends by a completion only.
        errors.InvalidRequest: it answers a task in another one's name.
    """
    if not label.task_id:
        return label
    caller = principal()
    if not caller.has_any(_REVIEWERS):
        raise errors.NotPermitted(f"{caller.name} may not answer a task: it needs the role lead or reviewer")
    if tasks.needs_completion(label.decision_id, label.task_id):
        raise errors.NeedsCompletion
    if label.reviewer not in ("", caller.name):
        mistake = f"is {label.reviewer!r}, and you call as {caller.name!r}: leave it out, or give that"
        raise errors.InvalidRequest((errors.Violation("label.reviewer", mistake),))
    return msgspec.structs.replace(label, reviewer=caller.name)


def require_person(what: str) -> Principal:
    """The caller, who must be a person.

    Raises:
        errors.NotPermitted: it is a service, or nobody that is known.
    """
    caller = principal()
    if caller.is_person:
        return caller
    if caller.is_anonymous:
        raise errors.NotPermitted(
            f"only a person may {what}, and without principals nobody is known to be one: set "
            "TRUEBAND_PRINCIPALS to a file that names them, and call with a token (--token-file)"
        )
    raise errors.NotPermitted(f"only a person may {what}, and {caller.name} is a service")

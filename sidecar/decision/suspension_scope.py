"""Whether a suspension's scope means anything under a policy: a brake that holds nothing is none."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from sidecar.decision import suspensions
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.errors import Violation
from sidecar.policy import categories
from sidecar.policy.tables import CategoryTable, ModelTable

MOST_BYTES = 256
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""What no text of a suspension may hold; line breaks and tabs it may. Not every database takes a NUL."""


def mistakes(scope: Scope, tables: Mapping[str, ModelTable]) -> tuple[Violation, ...]:
    """What the policy does not know, named by field; nothing where the scope can bind.

    A scope that nothing falls into would be taken for a brake. Tenants and versions cannot be checked: the
    policy does not list them.
    """
    if scope.model and scope.model not in tables:
        known = ", ".join(sorted(tables))
        return (Violation("scope.model", f"the policy has no model {scope.model!r}; it has: {known}"),)
    chosen = [tables[scope.model]] if scope.model else list(tables.values())
    unknown = []
    if scope.category and not any(_knows(table, scope.category) for table in chosen):
        named = sorted({name for table in chosen for name in table.listed})
        unknown.append(
            Violation(
                "scope.category",
                f"{scope.category!r} is not listed, so that it waits for a person anyway; listed: "
                f"{', '.join(named)}",
            )
        )
    bands = sorted({name for table in chosen for name in _bands(table, scope.category)})
    if scope.band and scope.band not in bands:
        unknown.append(
            Violation("scope.band", f"no band is called {scope.band!r}; there are: {', '.join(bands)}")
        )
    return tuple(unknown)


def malformed(scope: Scope) -> tuple[Violation, ...]:
    """What is wrong with the texts of a scope, whatever the policy; named by field."""
    bad = []
    for name in ("tenant", "model", "model_version", "band", "category"):
        value = getattr(scope, name) or ""
        if len(value.encode(errors="replace")) > MOST_BYTES:
            bad.append(Violation(f"scope.{name}", f"has more than {MOST_BYTES} bytes"))
        elif CONTROL.search(value):
            bad.append(Violation(f"scope.{name}", "holds a control character"))
    if scope.category and not categories.normalise(scope.category):
        bad.append(Violation("scope.category", "is no name: nothing of it can be seen"))
    return tuple(bad)


def normal(scope: Scope) -> Scope:
    """The scope with its category in the normal form."""
    return msgspec.structs.replace(scope, category=categories.normalise(scope.category))


def loosened(
    active: Iterable[Suspension], old: Mapping[str, ModelTable], new: Mapping[str, ModelTable]
) -> list[str]:
    """The suspensions that bind under the old tables and would bind nothing under the new, a sentence each.

    Renaming a band would lift its suspension, and only a person lifts one. A model that is gone decides
    nothing any more, so a suspension of it is not missed.
    """
    return [
        f"suspension {suspension.suspension_id} ({suspensions.text(suspension.scope)}) would bind nothing: "
        f"{mistake.description}"
        for suspension in active
        if not suspension.scope.model or suspension.scope.model in new
        if not mistakes(suspension.scope, old)
        for mistake in mistakes(suspension.scope, new)
    ]


def _knows(table: ModelTable, category: str) -> bool:
    return category in table.listed or not table.lists_categories


def _bands(table: ModelTable, category: str) -> Iterable[str]:
    chosen: Iterable[CategoryTable] = (
        (table.category(category),) if category else (*table.listed.values(), table.unlisted)
    )
    return {cell.name for category_table in chosen for cell in category_table.cells}

"""Which answers a model's own bands decide: a cut-off is certified by those, and by no other."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sidecar.decision.records import Decision
from sidecar.policy import categories, tables
from sidecar.policy.actions import Intent, Reason
from sidecar.policy.model import Model, Policy
from sidecar.policy.tables import ModelTable

NAME = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The answers that the model's own bands decide. Build one with `Scope.of`.

    Attributes:
        table: the model's section of the policy, compiled.
        own: the categories with bands of their own.
        versions: of the model; empty: the one that there is.
        pool: all versions together.
    """

    table: ModelTable
    own: frozenset[str]
    versions: tuple[str, ...] = ()
    pool: bool = False

    @classmethod
    def of(cls, entry: Model, *, versions: tuple[str, ...] = (), pool: bool = False) -> Self:
        """The scope of a model's section of a policy."""
        return cls(
            table=tables.compile_policy(Policy(version=1, models={NAME: entry}))[NAME],
            own=frozenset(
                categories.normalise(name)
                for name, each in entry.categories.items()
                if each.bands is not None
            ),
            versions=versions,
            pool=pool,
        )

    def elsewhere(self, decision: Decision) -> str:
        """Why these bands do not decide such an answer; empty: they do."""
        if decision.intent is not Intent.LIVE:
            return "of shadow requests"
        if self.versions and decision.model_version not in self.versions:
            return "of another model version"
        if reason := self.category_elsewhere(decision.category):
            return reason
        # A suspension ends, and then the bands decide again; nothing else that narrows does.
        if any(hit.reason is not Reason.SUSPENDED for hit in decision.floors):
            return WAITING
        if decision.evidence.truncated:
            return "of truncated generations"
        return ""

    def category_elsewhere(self, category: str) -> str:
        """Why these bands do not decide the answers of a category, in its normal form; empty: they do."""
        if category in self.own:
            return "in a category with bands of its own"
        return "" if self.table.category(category).floor is None else WAITING

    def reasons(self, names: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
        """(n,) `category_elsewhere` of each."""
        distinct, codes = np.unique(names, return_inverse=True)
        return np.array([self.category_elsewhere(str(name)) for name in distinct])[codes]


WAITING = "that wait for a person whatever the confidence"

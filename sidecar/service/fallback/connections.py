"""The chains of a policy, ready to run: conditions compiled, secondary models connected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sidecar.policy import expressions, fallback
from sidecar.policy import model as policy_model
from sidecar.service.fallback.chain import Chain, StepName
from sidecar.service.fallback.rules import CompiledRule, Rulebook
from sidecar.service.fallback.secondary import SecondaryModel
from sidecar.service.fallback.steps import Step, StepCalibration


class ModelEntry(Protocol):
    """What is read from a model's section of the policy."""

    @property
    def criterion(self) -> str:
        """What counts as correct."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The model's classes."""
        ...

    @property
    def stale(self) -> policy_model.Stale:
        """When a calibrator is too old to be relied on."""
        ...

    @property
    def fallback(self) -> tuple[fallback.Step, ...]:
        """The chain."""
        ...


@dataclass(frozen=True, slots=True)
class _Connected:
    """A secondary model with what it was connected for."""

    policy: fallback.SecondaryStep
    classes: tuple[str, ...]
    calibration: StepCalibration
    step: SecondaryModel


class Connections:
    """The chain of every model, as one immutable mapping that is replaced when the policy is.

    A secondary model whose section did not change keeps its channel and its breaker.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        """No chains yet.

        Args:
            clock: seconds that only go forward.
        """
        self._clock = clock
        self._chains: Mapping[str, Chain] = {}
        self._connected: dict[str, _Connected] = {}

    def chains(self) -> Mapping[str, Chain]:
        """The chain of each model that has machine steps, by the model's name."""
        return self._chains

    def prepare(self, models: Mapping[str, ModelEntry]) -> "Prepared":
        """The chains of a policy's models, made beside those in force.

        Raises:
            errors.PolicyRefused: a TLS file cannot be read. What is in force stays so.
        """
        chains: dict[str, Chain] = {}
        connected: dict[str, _Connected] = {}
        fresh: list[SecondaryModel] = []
        try:
            for name, entry in models.items():
                steps: dict[StepName, Step] = {}
                for step in entry.fallback:
                    if isinstance(step, fallback.RulesStep):
                        steps["rules"] = _rules(step, name, entry)
                    elif isinstance(step, fallback.SecondaryStep):
                        connected[name] = self._secondary(step, name, entry, fresh)
                        steps["secondary"] = connected[name].step
                if steps:
                    chains[name] = Chain(fallback.compile_chain(entry.fallback), steps)
        except BaseException:
            for made in fresh:
                made.close()
            raise
        return Prepared(chains, connected, tuple(fresh))

    def put_in_force(self, prepared: "Prepared") -> None:
        """Replaces the chains. Connections that the new ones do not use end with the calls on them."""
        kept = {id(item.step) for item in prepared.connected.values()}
        dropped = [item.step for item in self._connected.values() if id(item.step) not in kept]
        self._chains, self._connected = prepared.chains, dict(prepared.connected)
        for step in dropped:
            step.close()

    def refresh(self) -> None:
        """Takes over TLS files that changed. To be called now and then, off the request path."""
        for item in tuple(self._connected.values()):
            item.step.refresh()

    def left_alone(self) -> tuple[str, ...]:
        """The models whose secondary has an open breaker."""
        return tuple(name for name, item in self._connected.items() if item.step.is_left_alone)

    def close(self) -> None:
        """Ends every connection."""
        self._chains = {}
        for item in self._connected.values():
            item.step.close()
        self._connected = {}

    def _secondary(
        self, step: fallback.SecondaryStep, name: str, entry: ModelEntry, fresh: list[SecondaryModel]
    ) -> _Connected:
        calibration = StepCalibration(
            model=name,
            source="secondary",
            criterion=entry.criterion,
            stale_after_seconds=entry.stale.after,
        )
        old = self._connected.get(name)
        if old is not None and (old.policy, old.classes, old.calibration) == (
            step,
            entry.classes,
            calibration,
        ):
            return old
        made = SecondaryModel(step, classes=entry.classes, calibration=calibration, clock=self._clock)
        fresh.append(made)
        return _Connected(step, entry.classes, calibration, made)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Chains that may be put in force, or given up."""

    chains: Mapping[str, Chain]
    connected: Mapping[str, _Connected]
    fresh: tuple[SecondaryModel, ...]

    def give_up(self) -> None:
        """Closes what was connected for these chains only."""
        for step in self.fresh:
            step.close()


def _rules(step: fallback.RulesStep, name: str, entry: ModelEntry) -> Rulebook:
    language = expressions.rule_language()
    return Rulebook(
        [CompiledRule(rule.name, language.compile(rule.when), rule.answer) for rule in step.rules],
        language,
        StepCalibration(
            model=name,
            source="rules",
            criterion=entry.criterion,
            stale_after_seconds=entry.stale.after,
            require_constant=True,
        ),
    )

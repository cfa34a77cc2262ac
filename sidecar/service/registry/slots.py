"""Slots: the places that a calibrator is in force in, what each expects, and what each holds."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from calibrators import Calibrator
from calibrators.evidence import Aggregation, EvidenceKind
from sidecar import dialect
from sidecar.decision.steps import CalibratorReference
from sidecar.policy import fallback
from sidecar.policy import model as policy_model


class CalibratorSlot(NamedTuple):
    """A model, or one version of it where the policy gives that version a calibrator of its own.

    `source` is whose answers the calibrator is for: `primary`, or of the fallback chain `secondary` and
    `rules/NAME`.
    """

    model: str
    model_version: str = ""
    source: str = "primary"

    @property
    def name(self) -> str:
        """The name by which the ledger keeps the slot's history: `calibrator:MODEL[:VERSION][:SOURCE]`."""
        return dialect.slot_name("calibrator", *self)


class ChallengerSlot(CalibratorSlot):
    """The slot of what is evaluated beside the champion of the equal `CalibratorSlot`, and decides nothing."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name by which the ledger keeps the slot's history: `challenger:MODEL[:VERSION]`."""
        return dialect.slot_name("challenger", *self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Where a slot's calibrator comes from, and what it must have been fitted for.

    Attributes:
        uri: `models:/NAME@alias`, `models:/NAME/3` or `file:PATH`.
        evidence: the kind of evidence that the model hands over.
        aggregation: how token log-probabilities become one number; `none` for other evidence.
        criterion: by which labels count as correct.
        model_version: the one version whose answers the slot serves; empty when it may be several.
        optional: whether the source may name nothing: then nothing is in force, and that is no failure.
    """

    uri: str
    evidence: EvidenceKind
    aggregation: Aggregation = "none"
    criterion: str = "correct"
    model_version: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratorInForce:
    """The calibrator that a slot decides with.

    Attributes:
        calibrator: the calibrator.
        reference: how decisions name it.
        uri: the source, as in the policy.
        in_force_since: seconds since the epoch; when this process put it in force.
        confirmed_at: seconds since the epoch; when the source last said that it is the current one. It
            survives a restart, so that a calibrator from the cache is as stale as it really is.
        from_cache: whether it comes from the cache on disk and its source did not confirm it yet in this
            process.
    """

    calibrator: Calibrator
    reference: CalibratorReference
    uri: str
    in_force_since: float
    confirmed_at: float
    from_cache: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotStatus:
    """What a slot holds and how its source fares.

    Attributes:
        slot: the slot.
        uri: the source, as in the policy.
        in_force: None means that nothing is, and that everything holds.
        last_error: what the last attempt failed with; None after a good one.
        last_error_code: its stable code.
        last_error_at: seconds since the epoch.
        attempted: whether the first attempt is through, or a valid document came from the cache.
    """

    slot: CalibratorSlot
    uri: str
    in_force: CalibratorInForce | None
    last_error: str | None
    last_error_code: str | None
    last_error_at: float | None
    attempted: bool


def expectations(policy: policy_model.Policy) -> dict[CalibratorSlot, Expectation]:
    """The slots of a policy: one for each model, and one for each version with a calibrator of its own."""
    slots: dict[CalibratorSlot, Expectation] = {}
    for name, model in policy.models.items():
        fixed = _fixed_version(model)
        for version, uri in (("", model.calibrator), *model.versions.items()):
            slots[CalibratorSlot(name, version)] = _primary(model, uri, version or fixed)
        for source, step in fallback.calibrators(model.fallback).items():
            slots[CalibratorSlot(name, "", source)] = Expectation(
                uri=step.uri,
                evidence=step.evidence,
                criterion=model.criterion,
                model_version=step.model_version,
            )
    return slots


def challengers(policy: policy_model.Policy) -> dict[CalibratorSlot, Expectation]:
    """The slots of the challengers: one beside each that the registry's alias `champion` fills.

    A model whose policy says `shadow: false` has none, nor has what a file or a fixed version fills.
    """
    slots: dict[CalibratorSlot, Expectation] = {}
    for name, model in policy.models.items():
        if not model.shadow:
            continue
        for version, uri in (("", model.calibrator), *model.versions.items()):
            champion = dialect.registered(uri)
            if champion is not None and champion.alias == dialect.CHAMPION:
                challenger = champion._replace(alias=dialect.CHALLENGER).uri
                expected = _primary(model, challenger, version or _fixed_version(model))
                slots[ChallengerSlot(name, version)] = replace(expected, optional=True)
    return slots


def _primary(model: policy_model.Model, uri: str, model_version: str) -> Expectation:
    return Expectation(
        uri=uri,
        evidence=model.evidence,
        aggregation=model.aggregated_by(),
        criterion=model.criterion,
        model_version=model_version,
    )


def _fixed_version(model: policy_model.Model) -> str:
    return "" if model.model_version in ("any", "required") else model.model_version

"""What policies in the ledger say to a retrain: by their digest, with their floors, and which calibrator they name."""

from sidecar import dialect
from sidecar.decision.records import Decision
from sidecar.ledger import artifacts, queries
from sidecar.ledger.store import Ledger
from sidecar.policy import floors_file
from sidecar.policy import model as policy_model
from sidecar.policy.fallback import SecondaryStep
from sidecar.policy.floors_file import Floors
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.tables import ModelTable
from training import errors
from training.data import labelled_decisions
from training.data.labelled_decisions import Source


def newest(ledger: Ledger, model: str) -> LoadedPolicy:
    """The policy that the model's newest decision was made under.

    Raises:
        NotEnoughLabels: the ledger has no decision of the model.
        RequestRefused: nor does the policy that the newest decision was made under know it; or the ledger
            does not have the policy.
    """
    own = _newest_answer(ledger, model)
    answer = own or _newest_answer(ledger, "")
    loaded = None
    if answer is not None:
        loaded = ledger.read(artifacts.policy_of, answer.provenance.policy_digest)
    if own is None:
        if loaded is not None:
            entry_of(loaded, model)
        raise errors.NotEnoughLabels(f"the ledger has no decision of model {model!r}: route some first")
    if loaded is None:
        raise errors.RequestRefused(
            f"the ledger does not have the policy {own.provenance.policy_digest} yet: name the file with --policy"
        )
    return loaded


def entry_of(loaded: LoadedPolicy, model: str) -> policy_model.Model:
    """What a policy says about a model.

    Raises:
        RequestRefused: nothing.
    """
    entry = loaded.policy.models.get(model)
    if entry is None:
        known = ", ".join(loaded.policy.models)
        raise errors.RequestRefused(f"the policy has no model {model!r}; it has {known}")
    return entry


def registered_name(entry: policy_model.Model, source: Source, model_versions: tuple[str, ...]) -> str:
    """The registered model that the policy's calibrator of a source comes from.

    Args:
        entry: of the model.
        source: whose answers.
        model_versions: a single one may have a calibrator of its own.

    Raises:
        RequestRefused: the policy names none, or one that is not in a registry.
    """
    uri = entry.calibrator
    if source == "secondary":
        step = labelled_decisions.secondary(entry)
        if step.calibrator is None:
            raise errors.RequestRefused(
                "the policy names no calibrator for the secondary: give its step `calibrator: "
                "models:/NAME@champion`, or name the registered model with --name"
            )
        uri = step.calibrator
    elif len(model_versions) == 1:
        uri = entry.versions.get(model_versions[0], uri)
    registered = dialect.registered(uri)
    if registered is None:
        raise errors.RequestRefused(
            f"the policy's calibrator is {uri}, which is not in a registry: name the registered model with --name"
        )
    return registered.name


def answered_elsewhere(ledger: Ledger, digest: str, model: str, step: SecondaryStep) -> bool:
    """Whether another secondary model than a step's answered under a policy, as far as the policies tell.

    A step that pins no version means every version of its model.
    """
    loaded = ledger.read(artifacts.policy_of, digest)
    entry = None if loaded is None else loaded.policy.models.get(model)
    if entry is None or not any(isinstance(each, SecondaryStep) for each in entry.fallback):
        return True
    own = labelled_decisions.secondary(entry)
    return (own.model, own.output) != (step.model, step.output) or step.version not in ("", own.version)


def table(ledger: Ledger, model: str, loaded: LoadedPolicy) -> ModelTable:
    """The model's table under a policy and the floors that bound its newest decision."""
    answer = _newest_answer(ledger, model)
    floors = _floors(ledger, "" if answer is None else answer.provenance.floors_digest)
    return floors_file.merge(loaded.policy, floors)[model]


def table_behind(ledger: Ledger, policy_digest: str, floors_digest: str, model: str) -> ModelTable:
    """The table that a decision was made under.

    Raises:
        RequestRefused: the ledger does not have the policy or the floors, or they do not know the model.
    """
    loaded = ledger.read(artifacts.policy_of, policy_digest)
    if loaded is None:
        raise errors.RequestRefused(f"the ledger does not have the policy {policy_digest}")
    found = floors_file.merge(loaded.policy, _floors(ledger, floors_digest)).get(model)
    if found is None:
        raise errors.RequestRefused(f"the policy {policy_digest} has no model {model!r}")
    return found


def _newest_answer(ledger: Ledger, model: str) -> Decision | None:
    """The newest decision, in its last answer, of a model; of any where the name is empty."""
    stored = ledger.read(queries.decisions, model=model, page_size=1).items
    return stored[0].answers[-1] if stored else None


def _floors(ledger: Ledger, digest: str) -> Floors | None:
    if not digest:
        return None
    loaded = ledger.read(artifacts.floors_of, digest)
    if loaded is None:
        raise errors.RequestRefused(f"the ledger does not have the floors {digest} yet: try again later")
    return loaded.floors

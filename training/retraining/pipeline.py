"""The retrain: from the ledger's labels to a registered challenger, the gate's verdict, and maybe promotion."""

import time
from collections.abc import Callable
from dataclasses import replace

import calibrators
from sidecar.ledger import labelled as ledger_labelled
from sidecar.ledger.store import Ledger
from sidecar.policy import model as policy_model
from sidecar.policy.loading import LoadedPolicy
from training import errors, registry
from training.data import labelled_decisions, policies
from training.data.labelled_decisions import LabelledDecisions, Source
from training.measure import evaluation
from training.retraining import account, challenge, rerouting
from training.retraining.account import Retrained
from training.retraining.gate import GateReason


def retrain(
    ledger: Ledger,
    model: str,
    *,
    policy: LoadedPolicy | None = None,
    name: str | None = None,
    source: Source = "primary",
    model_versions: tuple[str, ...] = (),
    pool: bool = False,
    since: float | None = None,
    promote: bool = False,
    by: str,
    seed: int = 0,
    clock: Callable[[], float] = time.time,
) -> Retrained:
    """Fits a challenger on the earlier labels and judges it against the champion on the later ones.

    See `challenge.challenge` for the fit and `gate.judge` for the test. What the gate adds here: recent
    decisions are routed again under both, and a shift of the automatic share beyond the policy's
    `admission.max_auto_shift` needs a person, as does a champion that was rolled back or moved by hand.

    Args:
        ledger: a snapshot.
        model: a key of the policy's models.
        policy: None takes the one that the newest decision was made under, from the ledger.
        name: the registered model; None takes it from the policy's calibrator.
        source: whose answers: the model's, or those of the fallback chain's secondary.
        model_versions: see `labelled_decisions.build`.
        pool: see `labelled_decisions.build`.
        since: only decisions made at or after, in seconds since the epoch; None: all. After a change of the
            world, older labels speak of another one.
        promote: move `champion` if the gate accepts.
        by: who asks.
        seed: of folds and bootstraps.
        clock: seconds since the epoch.

    Raises:
        NotEnoughLabels: there are none, or none that could judge.
        RequestRefused: the policy does not fit.
        RegistryRefused: the registry cannot be used.
    """
    loaded = policy or policies.newest(ledger, model)
    entry = policies.entry_of(loaded, model)
    registered = name or policies.registered_name(entry, source, model_versions)
    decisions = _decisions(
        ledger, model, loaded, source=source, model_versions=model_versions, pool=pool, since=since
    )
    table = policies.table(ledger, model, loaded)
    champion = registry.champion(registered)
    try:
        contest = challenge.challenge(
            decisions.dataset,
            None if champion is None else champion[1],
            entry=entry,
            applies_to=_applies_to(model, entry, decisions, source),
            table=table,
            undrawn=decisions.undrawn,
            seed=seed,
        )
    except errors.NotEnoughLabels as problem:
        rest = f"; left out: {decisions.told()}" if decisions.left_out else ""
        raise errors.NotEnoughLabels(
            f"{len(decisions.dataset)} labels were drawn: {problem}{rest}"
        ) from problem
    rerouted = None
    verdict = contest.verdict
    if source == "primary":
        rerouted = rerouting.measure(
            rerouting.recent(ledger, model, versions=decisions.model_versions),
            table,
            before=None if champion is None else champion[1],
            after=contest.challenger,
            suspended=rerouting.in_force(ledger),
        )
        limit = None if champion is None else entry.admission.max_auto_shift
        verdict = verdict.with_reasons(rerouted.reasons(limit), rerouted.statistics())
    verdict = verdict.with_reasons(_standing(registered))
    before, after = (
        evaluation.evaluate(
            values,
            contest.judge_on.correct,
            contest.judge_on.weights,
            groups=contest.judge_on.groups,
            seed=seed,
            use_netcal=False,
        )
        for values in (contest.reference, contest.confidence)
    )
    retrained = Retrained(
        name=registered,
        policy=loaded,
        entry=entry,
        decisions=decisions,
        challenge=contest,
        verdict=verdict,
        champion_version=None if champion is None else champion[0],
        before=before,
        after=after,
        rerouted=rerouted,
    )
    version = account.publish(retrained, by=by, clock=clock)
    promoted = promote and verdict.accept
    if promoted:
        reasons = "; ".join(reason.text for reason in verdict.reasons)
        registry.promote(
            registered,
            version,
            kind="retrain",
            by=by,
            reason=f"the gate accepted: {reasons}"[:1000],
            clock=clock,
        )
    return replace(retrained, version=version, promoted=promoted)


def _decisions(
    ledger: Ledger,
    model: str,
    loaded: LoadedPolicy,
    *,
    source: Source,
    model_versions: tuple[str, ...],
    pool: bool,
    since: float | None,
) -> LabelledDecisions:
    entry = loaded.policy.models[model]
    labelled = ledger.read(
        ledger_labelled.labelled,
        model,
        since=since,
        criterion=entry.criterion,
        label_window_seconds=loaded.policy.label_window,
    )
    elsewhere: frozenset[str] = frozenset()
    if source == "secondary":
        step = labelled_decisions.secondary(entry)
        elsewhere = frozenset(
            digest
            for digest in {each.decision.provenance.policy_digest for each in labelled}
            if digest != loaded.digest and policies.answered_elsewhere(ledger, digest, model, step)
        )
    return labelled_decisions.build(
        labelled,
        entry,
        source=source,
        model_versions=model_versions,
        pool=pool,
        undrawn=entry.retrain.undrawn_labels,
        elsewhere=elsewhere,
    )


def _applies_to(
    model: str, entry: policy_model.Model, decisions: LabelledDecisions, source: Source
) -> calibrators.AppliesTo:
    data = decisions.dataset
    return calibrators.AppliesTo(
        model=model,
        model_versions=decisions.model_versions,
        source=source,
        evidence=data.evidence,
        aggregation=data.aggregation,
        answer=data.answer,
        criterion=entry.criterion,
    )


def _standing(registered: str) -> tuple[GateReason, ...]:
    match registry.standing(registered):
        case "ROLLED_BACK":
            text = "champion was rolled back, and only a person promotes after that: `promote VERSION`"
            return (GateReason(code="ROLLED_BACK", text=text, blocking=True),)
        case "MOVED_BY_HAND":
            text = (
                "champion is where no promotion put it: somebody moved it by hand, and only a person promotes "
                "after that: `promote VERSION`, with the version that it is at to confirm it"
            )
            return (GateReason(code="MOVED_BY_HAND", text=text, blocking=True),)
        case _:
            return ()

"""`fit`: a labelled file into a calibrator document, and into the registry where that is asked for."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from calibrators.evidence import AGGREGATIONS, EVIDENCE_KINDS
from training.commands import flags, labelled_file, registration

if TYPE_CHECKING:
    import calibrators
    from training.data.dataset import Dataset
    from training.fit.fitting import CandidateKind
    from training.fit.selection import Selection
    from training.measure.evaluation import Evaluation

KINDS: dict[str, "tuple[CandidateKind, ...] | None"] = {
    "auto": None,
    "identity": ("identity",),
    "temperature": ("temperature",),
    "platt": ("platt-logit", "platt-raw"),
    "beta": ("beta",),
    "isotonic": ("isotonic",),
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "fit",
        help="fit a calibrator to a labelled file",
        description="Fits a calibrator to a labelled file, chosen by cross-validated log-loss (the simplest "
        "that is not clearly behind the best), and writes it as a JSON document that a sidecar can load; with "
        "--register it becomes a version in the MLflow registry as well.",
    )
    labelled_file.add_arguments(parser)
    parser.add_argument(
        "--kind",
        choices=tuple(KINDS),
        default="auto",
        help="auto selects among all (default); platt takes the better one of logit and raw score",
    )
    flags.add_seed(parser, "folds and bootstrap")
    parser.add_argument(
        "--lower",
        type=_level,
        metavar="LEVEL",
        help="add the lower curve, e.g. 0.95: what each confidence is at least, for a policy with band_on: lower_bound",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the document to write, e.g. cal.json")
    target = parser.add_argument_group(
        "what it may serve", "Required with --register; without a model the document matches no request."
    )
    target.add_argument("--model", metavar="M", help="the model's name in the policy")
    flags.add_versions(target, "the model versions that the labels speak for", "any version of the model")
    target.add_argument(
        "--evidence", choices=EVIDENCE_KINDS, help="what the model will send (default: as in the file)"
    )
    target.add_argument(
        "--aggregation",
        choices=AGGREGATIONS,
        help="how token log-probabilities become a score (default for them: mean)",
    )
    target.add_argument(
        "--criterion", default="correct", metavar="C", help="what the labels call correct (default: correct)"
    )
    target.add_argument(
        "--source",
        choices=("primary", "secondary"),
        default="primary",
        help="whose answers: the model's, or those of the fallback chain's secondary (default: primary)",
    )
    registration.add_arguments(parser)
    parser.set_defaults(run=run)


def _level(text: str) -> float:
    level = float(text)
    if not 0.5 < level < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is no level: above 0.5 and below 1, such as 0.95")
    return level


def run(arguments: argparse.Namespace) -> int:
    """Fits, prints what was found, writes the document, registers it where asked."""
    from training import console
    from training.fit import completion, fitting, selection

    _require_consistent(arguments)
    dataset = labelled_file.read(arguments)
    dataset, applies_to = _target(arguments, dataset)
    chosen = selection.select(dataset, seed=arguments.seed, kinds=KINDS[arguments.kind])
    registration.require_grown(arguments, dataset, chosen)
    fitted = fitting.calibrator(
        chosen.fitted, dataset, applies_to=applies_to, note=f"selected by {chosen.reason}"[:500]
    )
    fitted = completion.complete(
        fitted,
        dataset,
        offsets=dataset.categories is not None,
        lower=arguments.lower is not None,
        level=arguments.lower or completion.LEVEL,
        seed=arguments.seed,
    )
    measured = _measure(dataset, chosen, arguments.seed)
    screen = console.console()
    screen.print(f"{arguments.from_file}: {console.describe(dataset)}", markup=False)
    screen.print(console.candidates_table(chosen))
    screen.print(f"Chosen: {chosen.reason}.", markup=False)
    if chosen.uninformative:
        screen.print(
            "Warning: the score is uninformative. It does not rise with correctness in these data, and no "
            "calibrator can repair that.",
            markup=False,
        )
    for line in completion.description(fitted, asked=dataset.categories is not None):
        screen.print(line, markup=False)
    if measured is None:
        screen.print("Not measured: there is nothing to score that the fit has not seen.")
    else:
        screen.print()
        title = "out of fold (each row scored by a fit that never saw it)"
        screen.print(console.evaluations_table(title, list(measured.items())))
        screen.print("The document's map is fitted to all rows. Judge it on later labels with `evaluate`.")
    _write(Path(arguments.out), fitted)
    screen.print(f"Wrote {arguments.out}: {fitted.kind}, {fitted.digest}", markup=False, soft_wrap=True)
    if arguments.register:
        version = registration.register(arguments, dataset, chosen, fitted, measured)
        alias = f" as {arguments.alias}" if arguments.alias else ""
        screen.print(f"Registered {arguments.register} version {version}{alias}.", markup=False)
        if told := registration.told():
            screen.print(told, markup=False)
    return 0


def _require_consistent(arguments: argparse.Namespace) -> None:
    from training import errors

    versions = arguments.model_version or arguments.any_version
    if arguments.register:
        needed = {"--model": arguments.model, "--evidence": arguments.evidence}
        missing = [flag for flag, value in needed.items() if not value]
        if not versions:
            missing.append("--model-version or --any-version")
        if missing:
            raise errors.RequestRefused(
                f"--register also needs {', '.join(missing)}: what the calibrator may serve"
            )
    elif arguments.alias:
        raise errors.RequestRefused("--alias goes with --register: an alias points at a registered version")
    if arguments.even_if_young and not arguments.alias:
        raise errors.RequestRefused("--even-if-young goes with --alias: without one, nothing goes live")
    if (arguments.model is None) != (not versions):
        raise errors.RequestRefused("--model goes with --model-version or --any-version, and they with it")
    _require_a_place(Path(arguments.out))


def _require_a_place(out: Path) -> None:
    """Refuses before the fit what could not be written after it."""
    from training import errors

    try:
        if not out.parent.is_dir() or out.is_dir():
            raise errors.RequestRefused(f"--out {out}: name a file in a folder that exists")
    except OSError as problem:  # too long a name, or a folder that may not be looked into
        raise errors.RequestRefused(f"--out {out}: cannot be written ({problem.strerror})") from problem
    if not os.access(out.parent, os.W_OK):
        raise errors.RequestRefused(f"--out {out}: you may not write into the folder {out.parent}")


def _target(
    arguments: argparse.Namespace, dataset: "Dataset"
) -> "tuple[Dataset, calibrators.AppliesTo | None]":
    """The dataset as the evidence that will be served, and what the document applies to."""
    import dataclasses

    import calibrators
    from calibrators import evidence as evidence_module
    from training import errors

    kind = arguments.evidence or dataset.evidence
    if arguments.aggregation not in (None, "none") and kind != "token_logprobs":
        raise errors.RequestRefused("--aggregation goes with --evidence token_logprobs; leave it out")
    aggregation = evidence_module.effective_aggregation(kind, arguments.aggregation or "none")
    if dataset.evidence == "positive_probability" and kind != "positive_probability":
        raise errors.RequestRefused(
            f"--score-is positive fits positive_probability evidence, not {kind}; change one of the two"
        )
    answer = dataset.answer
    if kind in evidence_module.VECTOR_KINDS:
        dataset = dataclasses.replace(dataset, evidence=kind)
    else:
        # One score will be served, so a map of vectors cannot be.
        dataset = dataclasses.replace(
            dataset, evidence=kind, aggregation=aggregation, vectors=None, answers=None, truths=None
        )
    if arguments.model is None:
        return dataset, None
    return dataset, calibrators.AppliesTo(
        model=arguments.model,
        model_versions=None if arguments.any_version else tuple(arguments.model_version),
        source=arguments.source,
        evidence=kind,
        aggregation=aggregation,
        answer=answer,
        criterion=arguments.criterion,
    )


def _measure(dataset: "Dataset", chosen: "Selection", seed: int) -> "dict[str, Evaluation] | None":
    from training.measure import evaluation

    if chosen.chosen.out_of_fold is None:
        return None
    return {
        name: evaluation.evaluate(
            confidence, dataset.correct, dataset.weights, groups=dataset.groups, seed=seed, use_netcal=False
        )
        for name, confidence in (("raw", dataset.scores), ("calibrated", chosen.chosen.out_of_fold))
    }


def _write(path: Path, calibrator: "calibrators.Calibrator") -> None:
    import calibrators
    from sidecar import durable_file
    from training import errors

    try:
        durable_file.replace(path, f"{calibrators.dumps(calibrator)}\n".encode(), private=False)
    except OSError as problem:
        raise errors.RequestRefused(f"--out {path}: cannot be written ({problem.strerror})") from problem

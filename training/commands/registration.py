"""The part of `fit` that makes a version in the registry of what it fitted."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import calibrators
    from training.data.dataset import Dataset
    from training.fit.selection import Selection
    from training.measure.evaluation import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    group = parser.add_argument_group("registry")
    group.add_argument("--register", metavar="NAME", help="register it in MLflow under this name")
    group.add_argument("--alias", metavar="ALIAS", help="let this alias point at it, e.g. champion")
    group.add_argument(
        "--even-if-young",
        action="store_true",
        help="let the alias point at it although it rests on fewer than 30 effective labels, on fewer than 5 of "
        "either outcome, or on an uninformative score",
    )


def require_grown(arguments: argparse.Namespace, dataset: "Dataset", chosen: "Selection") -> None:
    """Refuses to let an alias point at what rests on next to nothing; no gate judges a fit."""
    from training import errors
    from training.fit import selection

    if not arguments.alias or arguments.alias == "challenger" or arguments.even_if_young:
        return
    problem = selection.too_few(dataset)
    if not problem and (chosen.uninformative or chosen.fitted.uninformative):
        problem = "the score is uninformative: it does not rise with correctness in these data"
    if problem:
        raise errors.RequestRefused(
            f"--alias {arguments.alias} would go live with too little behind it ({problem}): leave --alias out, "
            "collect more labels, or say --even-if-young"
        )


def register(
    arguments: argparse.Namespace,
    dataset: "Dataset",
    chosen: "Selection",
    calibrator: "calibrators.Calibrator",
    measured: "dict[str, Evaluation] | None",
) -> str:
    """Registers it with its evidence; the version.

    Raises:
        RegistryRefused: the registry cannot be used.
    """
    from training import registry
    from training.measure import diagram, reliability

    metrics: dict[str, float] = {"n": float(len(dataset)), "n_effective": dataset.n_effective}
    figures: dict[str, Any] = {}
    if measured is not None and chosen.chosen.out_of_fold is not None:
        for name, evaluation in measured.items():
            metrics |= {
                f"{name}_{key}": value
                for key, value in evaluation.measures().items()
                if isinstance(value, float)
            }
        before, after = (
            reliability.reliability(confidence, dataset.correct, dataset.weights)
            for confidence in (dataset.scores, chosen.chosen.out_of_fold)
        )
        figures["reliability.png"] = diagram.draw_reliability(
            before, after, title=f"{arguments.register}, out of fold"
        )
    return registry.publish(
        calibrator,
        name=arguments.register,
        alias=arguments.alias,
        metrics=metrics,
        params={"kind": chosen.kind, "seed": arguments.seed, "data_digest": dataset.digest},
        figures=figures,
        documents={"selection.json": chosen.as_document()},
        description=f"Fitted to {len(dataset)} labels from a file: {chosen.reason}.",
    )


def told() -> str:
    """A sentence on a registry that no sidecar can follow; empty where one can."""
    from training import registry

    address = registry.address()
    if address.startswith(("http://", "https://")):
        return ""
    return (
        f"The registry is {address}, which no sidecar can read: set MLFLOW_TRACKING_URI to the http(s) address of "
        "an MLflow server to use that."
    )


def warn() -> None:
    """Says on standard error, before anything is done, that the registry is one that no sidecar can follow."""
    if sentence := told():
        print(f"warning: {sentence}", file=sys.stderr)

"""The MLflow flavor: a logged calibrator is one JSON file and its description; nothing pickled, no code.

`mlflow.pyfunc.load_model("models:/NAME@champion").predict(frame)` works wherever this package is installed.
MLflow and pandas are imported where they are used, so that looking at this module costs neither.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from calibrators import document, logits
from calibrators.calibrator import Calibrator
from calibrators.errors import EvidenceUnusable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.models.model import Model, ModelInfo

    Frame = pd.DataFrame | npt.NDArray[np.float64]

Classes = Sequence[str] | int

FLAVOR_NAME = "trueband"
DOCUMENT_NAME = "calibrator.json"
SCORE_COLUMN = "score"
CATEGORY_COLUMN = "category"
CONFIDENCE_COLUMN = "confidence"
LOWER_BOUND_COLUMN = "lower_bound"


def log_model(
    calibrator: Calibrator,
    *,
    name: str = "calibrator",
    registered_model_name: str | None = None,
    classes: Classes | None = None,
    pip_requirements: Sequence[str] | None = None,
    run_id: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    metadata: Mapping[str, object] | None = None,
) -> "ModelInfo":
    """Logs a calibrator as an MLflow model, in the active run if there is one, and tells where it went.

    Args:
        calibrator: what to log.
        name: the logged model's name.
        registered_model_name: registers a version under this name too.
        classes: for a calibrator of vectors, the classes' names in order, which become the frame's columns,
            or their number, for columns of any name. Without either, `predict` takes arrays only.
        pip_requirements: what a serving environment needs; this package and MLflow by default.
        run_id: the run to log to, instead of the active one.
        params: parameters of the logged model.
        tags: tags of the logged model.
        metadata: further entries of the MLmodel file.
    """
    from mlflow.models import Model

    info: ModelInfo = Model.log(
        None,  # artifact_path: still positional in MLflow 3.17, though `name` has replaced it
        sys.modules[__name__],
        registered_model_name=registered_model_name,
        name=name,
        run_id=run_id,
        params=None if params is None else dict(params),
        tags=None if tags is None else dict(tags),
        metadata=None if metadata is None else dict(metadata),
        flavor_name=FLAVOR_NAME,
        calibrator=calibrator,
        classes=classes,
        pip_requirements=pip_requirements,
    )
    return info


def save_model(
    calibrator: Calibrator,
    path: str | Path,
    *,
    mlflow_model: "Model | None" = None,
    classes: Classes | None = None,
    pip_requirements: Sequence[str] | None = None,
) -> None:
    """Writes a calibrator as an MLflow model into a new or empty folder; see `log_model` for the arguments.

    Raises:
        FileExistsError: the folder holds files already.
    """
    from mlflow import pyfunc
    from mlflow.models import Model
    from mlflow.models.utils import _save_example  # every flavor uses it; there is no public one

    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder to save the calibrator in")
    model = Model() if mlflow_model is None else mlflow_model

    (folder / DOCUMENT_NAME).write_text(document.dumps(calibrator), encoding="ascii")
    (folder / "requirements.txt").write_text("\n".join(pip_requirements or _requirements()) + "\n")
    (folder / "python_env.yaml").write_text(
        f"python: {python_version()}\ndependencies:\n- -r requirements.txt\n"
    )
    model.signature = _signature(calibrator, classes)
    _save_example(model, _input_example(calibrator, classes), str(folder))
    pyfunc.add_to_model(model, loader_module=__name__, data=DOCUMENT_NAME, python_env="python_env.yaml")
    model.add_flavor(
        FLAVOR_NAME,
        schema=calibrator.schema,
        kind=calibrator.kind,
        digest=calibrator.digest,
        data=DOCUMENT_NAME,
    )
    model.save(str(folder / "MLmodel"))


def load_model(uri: str) -> Calibrator:
    """The calibrator behind an MLflow URI, as "models:/NAME@champion", or in a folder of `save_model`.

    Only the one JSON file is fetched, and it passes every check of `calibrators.loads`.

    Raises:
        CalibratorRefused: the document fails a check.
        mlflow.exceptions.MlflowException: there is no such model.
    """
    # Not `artifacts.download_artifacts`, which finds no file in a model that is named by its own identifier.
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with TemporaryDirectory(prefix="trueband-") as folder:  # without one, MLflow leaves its own behind
        repository = get_artifact_repository(uri)
        return _read(Path(repository.download_artifacts(DOCUMENT_NAME, folder)))  # type: ignore[no-untyped-call]


def _read(path: Path) -> Calibrator:
    with path.open("rb") as file:
        return document.loads(file.read(document.MAX_BYTES + 1))


def _load_pyfunc(path: str) -> "CalibratorModel":
    """What `mlflow.pyfunc` wraps; it passes the path of the document."""
    return CalibratorModel(_read(Path(path)))


class CalibratorModel:
    """A calibrator as `mlflow.pyfunc` calls it: a frame in, a frame out."""

    def __init__(self, calibrator: Calibrator) -> None:
        self.calibrator = calibrator

    def predict(self, model_input: "Frame", params: dict[str, Any] | None = None) -> "Frame":  # noqa: ARG002
        """Calibrated confidences.

        Args:
            model_input: a frame with a column `score` (any others are ignored) or an array of scores, (n,) or
                (n, 1); for a calibrator of vectors, a frame with one column for each class or an array (n, k)
                of its logits, or of its probabilities if it was fitted for those. Where the calibrator has
                category offsets, a frame may have a column `category` too, in the sidecar's normal form.
            params: MLflow passes it; a calibrator has none.

        Returns:
            A frame with the same index and the column `confidence`, and `lower_bound` where the calibrator
            carries a lower curve; for vectors, the columns of the classes or an array (n, k).

        Raises:
            EvidenceUnusable: the column is missing or a value is unusable.
        """
        import pandas as pd

        categories = None
        if (
            isinstance(model_input, pd.DataFrame)
            and self.calibrator.category_offsets
            and CATEGORY_COLUMN in model_input.columns
        ):
            categories = model_input[CATEGORY_COLUMN].fillna("").astype(str).to_numpy(dtype=object)
            model_input = model_input.drop(columns=CATEGORY_COLUMN)
        if self.calibrator.takes_vector:
            return self._predict_vectors(model_input, categories)
        if not isinstance(model_input, pd.DataFrame):
            scores = (
                model_input.reshape(-1)
                if model_input.ndim == 2 and model_input.shape[1] == 1
                else model_input
            )
            return pd.DataFrame(self._columns(self.calibrator.apply(scores)))
        if SCORE_COLUMN not in model_input.columns:
            raise EvidenceUnusable(f"the frame has no column {SCORE_COLUMN!r}: name the raw confidence so")
        calibrated = self.calibrator.apply(model_input[SCORE_COLUMN], categories)
        return pd.DataFrame(self._columns(calibrated), index=model_input.index)

    def _columns(self, calibrated: "npt.NDArray[np.float64]") -> "dict[str, npt.NDArray[np.float64]]":
        columns = {CONFIDENCE_COLUMN: calibrated}
        if self.calibrator.lower is not None:
            columns[LOWER_BOUND_COLUMN] = self.calibrator.lower.many(calibrated, self.calibrator.epsilon)
        return columns

    def _predict_vectors(self, model_input: "Frame", categories: "npt.NDArray[np.object_] | None") -> "Frame":
        import numpy as np
        import pandas as pd

        vectors = np.asarray(model_input, dtype=np.float64)
        applies_to = self.calibrator.applies_to
        if applies_to is not None and applies_to.evidence == "probabilities":
            if not bool(np.all((vectors >= 0.0) & (vectors <= 1.0))):
                raise EvidenceUnusable("this calibrator takes probabilities: each must be between 0 and 1")
            vectors = logits.log_probabilities_array(vectors, self.calibrator.epsilon)
        calibrated = self.calibrator.apply(vectors, categories)
        if isinstance(model_input, pd.DataFrame):
            return pd.DataFrame(calibrated, index=model_input.index, columns=model_input.columns)
        return calibrated


def _requirements() -> list[str]:
    import mlflow

    try:
        ours = f"trueband=={version('trueband')}"
    except PackageNotFoundError:  # used from a checkout
        ours = "trueband"
    return [f"mlflow=={mlflow.__version__}", ours]


def _signature(calibrator: Calibrator, classes: Classes | None) -> "ModelSignature":
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    category = [ColSpec("string", CATEGORY_COLUMN, required=False)] if calibrator.category_offsets else []
    if not calibrator.takes_vector:
        bound = [] if calibrator.lower is None else [ColSpec("double", LOWER_BOUND_COLUMN)]
        return ModelSignature(
            inputs=Schema([ColSpec("double", SCORE_COLUMN), *category]),
            outputs=Schema([ColSpec("double", CONFIDENCE_COLUMN), *bound]),
        )
    if classes is None or isinstance(classes, int):
        tensor = Schema([TensorSpec(np.dtype(np.float64), (-1, classes or -1))])
        return ModelSignature(inputs=tensor, outputs=tensor)
    if category and CATEGORY_COLUMN in classes:
        raise ValueError(
            f"a class is called {CATEGORY_COLUMN!r}, as is the column of categories that the offsets need: "
            "give `classes` as their number, which takes arrays without categories"
        )
    columns = [ColSpec("double", name) for name in classes]
    return ModelSignature(inputs=Schema([*columns, *category]), outputs=Schema([*columns]))


def _input_example(calibrator: Calibrator, classes: Classes | None) -> "Frame":
    import numpy as np
    import pandas as pd

    if not calibrator.takes_vector:
        return pd.DataFrame({SCORE_COLUMN: [0.5, 0.8, 0.94]})
    width = len(classes) if isinstance(classes, Sequence) else classes or 3
    vectors = np.eye(2, width)
    if calibrator.applies_to is not None and calibrator.applies_to.evidence == "probabilities":
        vectors = np.full((2, width), 1.0 / width)
    return pd.DataFrame(vectors, columns=list(classes)) if isinstance(classes, Sequence) else vectors

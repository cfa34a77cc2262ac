"""The MLflow flavor, against a real MLflow store on SQLite."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import calibrators
from calibrators import (
    AppliesTo,
    Calibrator,
    CalibratorRefused,
    EvidenceUnusable,
    Isotonic,
    LowerCurve,
    Platt,
    VectorTemperature,
    logits,
    mlflow_flavor,
)

# MLflow 3.17 compares the columns of an input example with a range, which pandas 3 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Operation with range is deprecated")

SCALAR = Calibrator(
    Isotonic((0.2, 0.6, 0.9), (0.1, 0.5, 0.8)),
    applies_to=AppliesTo(model="lead-classifier", model_versions=None, evidence="score"),
)
VECTOR = Calibrator(VectorTemperature(1.5))
CLASSES = ("interested", "not_now", "unsubscribe")
LOGITS = np.array([[2.0, 0.5, -1.0], [0.0, 0.0, 3.0]])


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    settings = pytest.MonkeyPatch()
    settings.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    settings.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    settings.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    settings.chdir(folder)
    with warnings.catch_warnings():  # importing MLflow uses what SQLAlchemy deprecates, and warns of itself
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")
        warnings.filterwarnings("ignore", r".*Any type hint is inferred as AnyType", UserWarning)
        import mlflow.pyfunc
        import mlflow.store.tracking.sqlalchemy_store

    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_registry_uri(f"sqlite:///{folder}/mlflow.db")
    yield mlflow
    # None, not what was asked for before: the registry follows the tracking address until somebody sets it.
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    settings.undo()


@pytest.fixture(scope="module")
def champion(mlflow):
    info = mlflow_flavor.log_model(
        SCALAR,
        registered_model_name="lead-calibrator",
        params={"kind": "isotonic"},
        tags={"digest": SCALAR.digest},
        metadata={"project": "trueband"},
    )
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("lead-calibrator", "champion", info.registered_model_version)
    return info


@pytest.mark.slow
def test_anyone_predicts_through_the_alias(mlflow, champion):
    frame = pd.DataFrame({"score": [0.2, 0.4, 0.95], "customer": ["a", "b", "c"]}, index=[7, 8, 9])
    answer = mlflow.pyfunc.load_model("models:/lead-calibrator@champion").predict(frame)
    expected = pd.DataFrame({"confidence": SCALAR.apply(frame["score"])}, index=[7, 8, 9])
    pd.testing.assert_frame_equal(answer, expected)


def test_the_calibrator_itself_comes_back_from_the_alias(champion):
    assert mlflow_flavor.load_model("models:/lead-calibrator@champion") == SCALAR
    assert mlflow_flavor.load_model(champion.model_uri) == SCALAR


def test_loading_leaves_nothing_behind(champion, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mlflow_flavor.load_model("models:/lead-calibrator@champion")
    assert list(tmp_path.iterdir()) == []


def test_the_artifact_is_json_and_yaml_and_nothing_else(mlflow, champion, tmp_path):
    folder = Path(
        mlflow.artifacts.download_artifacts("models:/lead-calibrator@champion", dst_path=str(tmp_path))
    )
    files = {path.name: path for path in folder.rglob("*") if path.is_file()}
    assert set(files) <= {
        *("calibrator.json", "MLmodel", "requirements.txt", "python_env.yaml", "registered_model_meta"),
        *("input_example.json", "serving_input_example.json"),
    }
    assert files["calibrator.json"].parent == folder
    assert files["calibrator.json"].read_text() == calibrators.dumps(SCALAR)
    for path in files.values():
        assert not path.read_bytes().startswith(b"\x80")  # how every binary pickle starts
    assert not any(path.suffix in {".pkl", ".pickle", ".joblib", ".py"} for path in files.values())
    requirements = files["requirements.txt"].read_text().split()
    assert requirements[0] == f"mlflow=={mlflow.__version__}"
    assert requirements[1].startswith("trueband")
    assert json.loads(files["input_example.json"].read_text())["columns"] == ["score"]


def test_the_description_names_the_flavor_the_signature_and_what_was_asked_for(mlflow, champion):
    model = mlflow.models.get_model_info("models:/lead-calibrator@champion")
    flavor = model.flavors["trueband"]
    assert flavor == {"schema": 1, "kind": "isotonic", "digest": SCALAR.digest, "data": "calibrator.json"}
    assert model.flavors["python_function"]["loader_module"] == "calibrators.mlflow_flavor"
    assert model.signature.inputs.input_names() == ["score"]
    assert model.signature.outputs.input_names() == ["confidence"]
    assert model.metadata == {"project": "trueband"}
    logged = mlflow.get_logged_model(champion.model_id)
    assert logged.tags["digest"] == SCALAR.digest
    assert logged.params["kind"] == "isotonic"


def test_a_frame_without_scores_is_refused_by_name(mlflow, champion):
    loaded = mlflow.pyfunc.load_model("models:/lead-calibrator@champion")
    with pytest.raises(mlflow.exceptions.MlflowException, match="score"):
        loaded.predict(pd.DataFrame({"confidence": [0.5]}))
    with pytest.raises(EvidenceUnusable, match="row 1"):
        loaded.predict(pd.DataFrame({"score": [0.5, np.nan]}))


def test_a_model_is_logged_into_the_run_that_is_asked_for(mlflow, champion):
    with mlflow.start_run() as run:
        pass
    info = mlflow_flavor.log_model(Calibrator(Platt(1.5, 0.0)), name="other", run_id=run.info.run_id)
    assert info.run_id == run.info.run_id
    assert mlflow_flavor.load_model(info.model_uri) == Calibrator(Platt(1.5, 0.0))


@pytest.mark.parametrize(
    ("classes", "given"),
    [
        (CLASSES, pd.DataFrame(LOGITS, columns=CLASSES)),
        (3, pd.DataFrame(LOGITS)),
        (3, LOGITS),
        (None, LOGITS),
    ],
    ids=["names", "number-frame", "number-array", "neither-array"],
)
def test_vectors_go_in_and_out_by_class(mlflow, tmp_path, classes, given):
    mlflow_flavor.save_model(VECTOR, tmp_path / "model", classes=classes)
    answer = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(given)
    assert np.asarray(answer).tolist() == VECTOR.apply(LOGITS).tolist()
    if classes == CLASSES:
        assert list(answer.columns) == list(CLASSES)
    assert mlflow_flavor.load_model(str(tmp_path / "model")) == VECTOR


def test_probabilities_are_taken_as_such_where_the_calibrator_was_fitted_for_them():
    calibrator = Calibrator(
        VectorTemperature(2.0), applies_to=AppliesTo(model="m", model_versions=None, evidence="probabilities")
    )
    model = mlflow_flavor.CalibratorModel(calibrator)
    probabilities = logits.softmax_array(LOGITS)
    answer = model.predict(pd.DataFrame(probabilities, columns=CLASSES))
    assert answer.to_numpy() == pytest.approx(Calibrator(VectorTemperature(2.0)).apply(LOGITS), abs=1e-9)
    with pytest.raises(EvidenceUnusable, match="probabilities"):
        model.predict(pd.DataFrame(LOGITS))


def test_scores_may_come_as_an_array():
    model = mlflow_flavor.CalibratorModel(SCALAR)
    expected = SCALAR.apply([0.3, 0.7]).tolist()
    assert model.predict(np.array([0.3, 0.7]))["confidence"].tolist() == expected
    assert model.predict(np.array([[0.3], [0.7]]))["confidence"].tolist() == expected
    with pytest.raises(EvidenceUnusable, match="column 'score'"):
        model.predict(pd.DataFrame({"probability": [0.3]}))
    with pytest.raises(EvidenceUnusable, match="shape"):
        model.predict(np.array([[0.3, 0.7]]))


def test_a_tampered_model_does_not_load(mlflow, tmp_path):
    mlflow_flavor.save_model(SCALAR, tmp_path / "model")
    path = tmp_path / "model" / "calibrator.json"
    path.write_text(path.read_text().replace("0.8", "0.9"))
    with pytest.raises(CalibratorRefused, match="altered"):
        mlflow_flavor.load_model(str(tmp_path / "model"))
    with pytest.raises(CalibratorRefused, match="altered"):
        mlflow.pyfunc.load_model(str(tmp_path / "model"))
    os.truncate(path, 2 << 20)
    with pytest.raises(CalibratorRefused, match="1048577 bytes") as refused:  # no more of it was read
        mlflow_flavor.load_model(str(tmp_path / "model"))
    assert refused.value.code == "DOCUMENT_TOO_LARGE"


def test_a_folder_that_holds_files_is_left_alone(mlflow, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        mlflow_flavor.save_model(SCALAR, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_requirements_can_be_chosen(mlflow, tmp_path):
    mlflow_flavor.save_model(SCALAR, tmp_path / "model", pip_requirements=["trueband==9.9"])
    assert (tmp_path / "model" / "requirements.txt").read_text() == "trueband==9.9\n"


CURVE = LowerCurve(level=0.95, method="by_hand", confidences=(0.5, 0.9), bounds=(0.3, 0.8))
CARRYING = Calibrator(
    Isotonic((0.2, 0.6, 0.9), (0.1, 0.5, 0.8)), category_offsets={"refunds": -1.0}, lower=CURVE
)


@pytest.fixture
def carrying(mlflow, tmp_path):
    mlflow_flavor.save_model(CARRYING, tmp_path / "model")
    return mlflow.pyfunc.load_model(str(tmp_path / "model"))


def test_categories_and_the_lower_bound_go_through_pyfunc(carrying):
    frame = pd.DataFrame({"score": [0.7, 0.7], "category": ["refunds", "general"]}, index=[7, 8])
    answer = carrying.predict(frame)
    confidence = CARRYING.apply(frame["score"], frame["category"])
    assert answer["confidence"].tolist() == confidence.tolist()
    assert answer["confidence"][7] < answer["confidence"][8]
    assert answer["lower_bound"].tolist() == [CARRYING.bound_of(each) for each in confidence.tolist()]


def test_the_category_column_may_be_missing_or_empty(carrying):
    plain = carrying.predict(pd.DataFrame({"score": [0.7]}))
    empty = carrying.predict(pd.DataFrame({"score": [0.7], "category": [None]}))
    assert plain["confidence"].tolist() == empty["confidence"].tolist() == CARRYING.apply([0.7]).tolist()


def test_the_flavor_tells_the_schema_of_the_document(mlflow, tmp_path):
    for calibrator, schema in ((SCALAR, 1), (CARRYING, 2)):
        mlflow_flavor.save_model(calibrator, tmp_path / str(schema))
        model = mlflow.models.Model.load(str(tmp_path / str(schema)))
        assert model.flavors["trueband"]["schema"] == schema
        assert mlflow_flavor.load_model(str(tmp_path / str(schema))) == calibrator


def test_a_frame_of_vectors_may_have_a_category(mlflow, tmp_path):
    vector = Calibrator(VectorTemperature(1.5), category_offsets={"refunds": -1.0})
    mlflow_flavor.save_model(vector, tmp_path / "vectors", classes=CLASSES)
    frame = pd.DataFrame(LOGITS, columns=list(CLASSES)).assign(category=["refunds", "other"])
    answer = mlflow.pyfunc.load_model(str(tmp_path / "vectors")).predict(frame)
    assert list(answer.columns) == list(CLASSES)
    assert answer.to_numpy() == pytest.approx(vector.apply(LOGITS, ["refunds", "other"]))
    with pytest.raises(ValueError, match="a class is called 'category'"):
        mlflow_flavor.save_model(vector, tmp_path / "clash", classes=("category", "other"))

"""`python -m training import-labels` against a real sidecar and its real ledger."""

import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from trueband.v1 import evidence_pb2, label_pb2, label_pb2_grpc, routing_pb2, routing_pb2_grpc

import calibrators
from calibrators import AppliesTo, Calibrator, Identity
from training import cli
from training.demo import processes

pytestmark = pytest.mark.process

Capture = pytest.CaptureFixture[str]
SOURCE = ("--source", "crm")


@dataclass(frozen=True)
class Service:
    address: str
    decisions: tuple[str, ...]

    def labels(self, decision_id: str) -> list[label_pb2.LabelRecord]:
        with grpc.insecure_channel(self.address) as channel:
            request = label_pb2.GetLabelsRequest(decision_id=decision_id)
            return list(label_pb2_grpc.LabelServiceStub(channel).GetLabels(request).labels)

    def until_labelled(self, decision_id: str, count: int) -> list[label_pb2.LabelRecord]:
        while len(found := self.labels(decision_id)) < count:
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("import-labels")
    made = Calibrator(Identity(), applies_to=AppliesTo(model="leads", model_versions=None, evidence="score"))
    (home / "leads.json").write_text(calibrators.dumps(made))
    policy = home / "policy.yaml"
    policy.write_text(
        f"version: 1\nmodels:\n  leads: {{calibrator: 'file:{home}/leads.json', evidence: score}}\n"
    )
    with processes.sidecar(policy, home / "data", {}) as server:
        server.wait()
        with grpc.insecure_channel(server.address) as channel:
            stub = routing_pb2_grpc.RoutingServiceStub(channel)
            decisions = []
            for _ in range(4):
                request = routing_pb2.RouteRequest(
                    model="leads",
                    predicted_class="interested",
                    evidence=evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=0.95)),
                )
                decisions.append(stub.Route(request).decision.decision_id)
            labels = label_pb2_grpc.LabelServiceStub(channel)
            while True:  # until the ledger has the last of them
                try:
                    labels.GetLabels(label_pb2.GetLabelsRequest(decision_id=decisions[-1]))
                    break
                except grpc.RpcError:
                    time.sleep(0.05)
        yield Service(server.address, tuple(decisions))


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(*lines: str) -> Path:
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return made


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["import-labels", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def test_each_row_has_an_outcome_of_its_own(
    capsys: Capture, service: Service, write: Write, tmp_path: Path
) -> None:
    first, second, third, _ = service.decisions
    path = write(
        "decision_id,correct,true_class,task_id,channel,note",
        f"{first},true,,,,fine",
        f"{second},,not_now,,OUTCOME,",
        f"{third},maybe,,,,",
        f"{third},true,,,AUDIT_TASK,",
    )
    told = tmp_path / "outcomes.csv"
    code, out, _ = run(capsys, path, *SOURCE, "--address", service.address, "--outcomes", told)
    assert code == 1
    assert "2 labels accepted, 0 known already, 2 refused" in out
    assert "row 3: ROW_UNUSABLE: correct is 'maybe'" in out
    with told.open(newline="") as opened:
        written = list(csv.DictReader(opened))
    assert [row["status"] for row in written] == ["ACCEPTED", "ACCEPTED", "REJECTED", "REJECTED"]
    assert "task_id" in written[3]["message"]
    (record,) = service.until_labelled(first, 1)
    assert (record.label.correct, record.label.source, record.label.note) == (True, "crm", "fine")
    assert record.label.channel == label_pb2.LABEL_CHANNEL_IMPORTED
    assert not record.drawn
    (record,) = service.until_labelled(second, 1)
    assert (record.label.true_class, record.label.channel) == ("not_now", label_pb2.LABEL_CHANNEL_OUTCOME)
    assert not service.labels(third)
    code, out, _ = run(capsys, path, *SOURCE, "--address", service.address)
    assert "0 labels accepted, 2 known already, 2 refused" in out
    assert len(service.labels(first)) == 1


def test_parquet_with_types(capsys: Capture, service: Service, tmp_path: Path) -> None:
    import pandas as pd

    last = service.decisions[3]
    path = tmp_path / "labels.parquet"
    frame = pd.DataFrame(
        {"id": [last], "won": [True], "at": [pd.Timestamp("2026-03-03T00:00:00Z")], "price": [9.5]}
    )
    frame.to_parquet(path)
    columns = ("--column", "decision_id=id", "--column", "correct=won", "--column", "observed_at=at")
    code, out, _ = run(capsys, path, *SOURCE, *columns, "--ignore", "price", "--address", service.address)
    assert (code, out) == (0, "1 labels accepted, 0 known already, 0 refused\n")
    (record,) = service.until_labelled(last, 1)
    assert record.label.correct
    assert record.label.observed_at.seconds == 1772496000


def test_a_file_of_unknown_decisions_is_refused_before_anything_is_sent(
    capsys: Capture, service: Service, write: Write
) -> None:
    path = write("decision_id,correct", "lead-4711,true", "lead-4712,true")
    code, out, err = run(capsys, path, *SOURCE, "--address", service.address)
    assert (code, out) == (2, "")
    assert "knows none of the first 2 decisions" in err
    code, out, _ = run(capsys, path, *SOURCE, "--address", service.address, "--allow-unknown")
    assert (code, out) == (0, "2 labels accepted, 0 known already, 0 refused\n")


def test_a_dry_run_sends_nothing(capsys: Capture, write: Write) -> None:
    path = write("decision_id,correct", "d1,true", "d2,perhaps")
    code, out, _ = run(capsys, path, *SOURCE, "--dry-run", "--address", "127.0.0.1:1")
    assert code == 1
    assert "row 2: correct is 'perhaps'" in out
    assert "1 rows could be sent, 1 could not" in out


@pytest.mark.parametrize(
    ("lines", "flags", "told"),
    [
        (("decision_id,correct", "d1"), (), "row 1 has 1 cells"),
        (("decision_id,correct",), (), "there are no rows"),
        (("decision_id,correct,colour", "d1,true,red"), (), "--ignore colour"),
        (("decision_id,correct", "d1,true"), ("--ignore", "colour"), "no column 'colour'"),
        (("decision_id,correct", "d1,true"), ("--column", "correct"), "write FIELD=NAME"),
        (("decision_id,correct", "d1,true"), ("--address", "127.0.0.1:1"), "nothing answers"),
        (("decision_id,correct", "d1,true"), ("--token-file", "/no/such/file"), "cannot be read"),
    ],
)
def test_wrong_input_is_refused(
    capsys: Capture, write: Write, lines: tuple[str, ...], flags: tuple[str, ...], told: str
) -> None:
    code, out, err = run(capsys, write(*lines), *SOURCE, *flags)
    assert (code, out) == (2, "")
    assert told in err


def test_a_file_that_is_no_table(capsys: Capture, tmp_path: Path) -> None:
    for name, content in (("a.parquet", b"no parquet"), ("b.csv", b"\xff\xfe\x00"), ("c.txt", b"x")):
        (tmp_path / name).write_bytes(content)
        code, out, err = run(capsys, tmp_path / name, *SOURCE)
        assert (code, out) == (2, "")
        assert name in err
    assert run(capsys, tmp_path / "none.csv", *SOURCE)[0] == 2

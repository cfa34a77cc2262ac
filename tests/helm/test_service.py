"""What the chart hands to the sidecar is what the sidecar takes: policy, settings, names, commands."""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.policy import floors_file, loading
from sidecar.service import health
from sidecar.service.in_force import policy_file
from sidecar.service.settings import Settings

SECRETS = {"TRUEBAND_DECISION_KEY": "0" * 64, "TRUEBAND_AUDIT_KEYS": "k1:" + "0" * 64}

POLICY = "version: 1\nmodels:\n  digits:\n    calibrator: file:/absent.json\n    evidence: score\n"


def given(release: Any, container: dict[str, Any]) -> dict[str, str]:
    """The environment of a container, with something well-formed where a Secret would be read."""
    return {
        name: value if isinstance(value, str) else SECRETS.get(name, "postgresql://db.data/trueband")
        for name, value in release.environment(container).items()
    }


def test_the_sidecar_takes_policy_and_floors(release: Any) -> None:
    wanted = {key for key in ("policy", "floors") if release.values[key]["document"]}
    wanted -= {key for key in wanted if release.values[key]["existingConfigMap"]}
    assert len(release.kind("ConfigMap")) == len(wanted)
    floors = floors_file.parse(release.config("floors.yaml")) if "floors" in wanted else None
    if "policy" in wanted:
        loaded = loading.parse(release.config("policy.yaml"))
        named = {*release.values["retrain"]["models"], *release.values["watch"]["models"]}
        assert named <= set(loaded.policy.models)
        policy_file.admit(loaded, floors, since=0.0)


def test_the_default_policy_says_what_the_design_says(render: Callable[..., Any]) -> None:
    text = render({}).config("policy.yaml")
    model = loading.parse(text).policy.models["lead-classifier"]
    assert [(float(band.from_), band.action.value) for band in model.bands] == [
        (0.9, "AUTO_ROUTE"),
        (0.7, "AUTO_ROUTE_FLAGGED"),
        (0.5, "HOLD_FOR_REVIEW"),
        (0.0, "REJECT"),
    ]
    mandatory = {name for name, category in model.categories.items() if category.mandatory_review}
    assert mandatory == {"legal_language", "pricing", "account_strategy"}
    keys = "mode calibrator model_version evidence bands classes categories unknown_category"
    assert set(yaml.safe_load(text)["models"]["lead-classifier"]) == set(keys.split())


def test_the_sidecar_takes_the_settings(release: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRUEBAND_")]:
        monkeypatch.delenv(name)
    variables = given(release, release.sidecar)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    known = {f"TRUEBAND_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in variables if name.startswith("TRUEBAND_")} <= known
    settings = Settings()  # type: ignore[call-arg]  # from the environment
    values = release.values["sidecar"]
    assert settings.listen == variables["TRUEBAND_LISTEN"]
    assert settings.ready_without_calibrator is values["readyWithoutCalibrator"]
    assert settings.journal_max_bytes == values["journalMaxBytes"]
    assert (settings.poll_interval, settings.drain_seconds) == (
        values["pollIntervalSeconds"],
        values["drainSeconds"],
    )
    assert bool(settings.metrics_listen) is values["metrics"]["enabled"]


def test_probes_ask_for_names_that_there_are(release: Any) -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert release.sidecar[probe]["grpc"]["service"] in (health.ALL, health.LIVENESS)


@pytest.mark.parametrize(
    ("mode", "ready"), [("socket", False), ("loopback", True)], ids=["socket-strict", "loopback-lenient"]
)
def test_a_sidecar_started_as_rendered_answers_its_probes_and_the_check(
    render: Callable[..., Any],
    local: Any,
    free_ports: Callable[[int], list[int]],
    root: Path,
    mode: str,
    ready: bool,
) -> None:
    """The rendered command, environment and policy, with the volumes' paths moved to a temporary folder."""
    api, health_port, metrics_port = free_ports(3)
    release = render(
        {
            "sidecar": {
                "api": {"mode": mode, "port": api},
                "health": {"port": health_port},
                "metrics": {"port": metrics_port},
                "drainSeconds": 1,
                "readyWithoutCalibrator": ready,
            },
            "policy": {"document": POLICY},
        }
    )

    variables = local.variables(release, release.sidecar)
    Path(variables["TRUEBAND_POLICY"]).write_text(release.config("policy.yaml"))
    log = local.folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(local.command(release.sidecar), env=variables, cwd=root, stderr=output) as process,
    ):
        try:
            probes = {
                probe: release.sidecar[probe]["grpc"]
                for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            }
            with grpc.insecure_channel(f"127.0.0.1:{health_port}") as channel:
                stub = health_pb2_grpc.HealthStub(channel)

                def state(probe: str) -> str:
                    request = health_pb2.HealthCheckRequest(service=probes[probe]["service"])
                    try:
                        answer = stub.Check(request)
                    except grpc.RpcError:
                        return "NO ANSWER"
                    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

                assert probes["startupProbe"]["port"] == health_port
                while state("startupProbe") != "SERVING":
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.05)
                assert state("livenessProbe") == "SERVING"
                # The calibrator is absent: in strict mode the pod is not ready, yet never restarted.
                assert state("readinessProbe") == ("SERVING" if ready else "NOT_SERVING")

            with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as page:
                assert b"trueband_" in page.read()

            check = release.one("Pod")["spec"]["containers"][0]
            status = subprocess.run(
                [*local.command(check), "--json"],
                env=local.variables(release, check),
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
            )
            assert status.returncode == (0 if ready else 1), status.stderr
            assert [slot["model"] for slot in json.loads(status.stdout)["calibrators"]] == ["digits"]
        finally:
            process.terminate()
    assert process.returncode == 0, log.read_text()

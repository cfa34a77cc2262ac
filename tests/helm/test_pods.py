"""What the pods are: order, probes, listeners, security, identity."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

LOOPBACK = ("127.0.0.1", "[::1]")


def ours(release: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each container that runs Trueband, with its pod."""
    for pod in release.pods.values():
        for container in release.containers(pod):
            if container["name"] != "model-server":
                yield pod, container


def test_the_sidecar_is_a_native_sidecar_that_starts_first(release: Any) -> None:
    pod = release.server
    assert [container["name"] for container in pod["initContainers"]] == ["trueband"]
    assert release.sidecar["restartPolicy"] == "Always"
    assert release.sidecar["command"] == ["python", "-m", "sidecar", "serve"]
    assert [container["name"] for container in pod["containers"]] == ["model-server"]
    # Without a startup probe the model server would start as soon as the sidecar's process has.
    assert release.sidecar["startupProbe"]["failureThreshold"] >= 60


def test_one_template_makes_every_sidecar(release: Any) -> None:
    """The copy of `helm test` is the release's sidecar, but for the ledger."""
    if not release.values["tests"]["enabled"]:
        assert release.kind("Pod") == []
        return
    copy = release.one("Pod")["spec"]["initContainers"][0]
    deployed = release.sidecar
    assert {**copy, "env": None} == {**deployed, "env": None}
    without_ledger = {k: v for k, v in release.environment(deployed).items() if k != "TRUEBAND_LEDGER_URL"}
    assert release.environment(copy) == without_ledger


def test_probes_go_to_the_health_listener(release: Any) -> None:
    sidecar = release.sidecar
    host, _, port = release.environment(sidecar)["TRUEBAND_HEALTH_LISTEN"].rpartition(":")
    assert host not in (*LOOPBACK, "localhost"), "the kubelet dials the pod's address"
    ports = {entry["name"]: entry["containerPort"] for entry in sidecar["ports"]}
    assert ports["tb-health"] == int(port)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert sidecar[probe]["grpc"]["port"] == int(port)
        assert set(sidecar[probe]) & {"exec", "httpGet", "tcpSocket"} == set()
    assert sidecar["readinessProbe"]["grpc"]["service"] == ""
    assert sidecar["livenessProbe"]["grpc"]["service"] == "liveness"


@pytest.mark.parametrize(("ready", "service"), [(True, ""), (False, "liveness")])
def test_a_registry_that_is_away_never_restarts_the_sidecar(
    render: Callable[..., Any], ready: bool, service: str
) -> None:
    """A failed startup probe kills: it may ask for readiness only where that needs no registry."""
    release = render({"sidecar": {"readyWithoutCalibrator": ready}})
    assert release.sidecar["startupProbe"]["grpc"]["service"] == service
    assert release.environment(release.sidecar)["TRUEBAND_READY_WITHOUT_CALIBRATOR"] == str(ready).lower()


def test_the_api_never_leaves_the_pod(release: Any) -> None:
    address = release.environment(release.sidecar)["TRUEBAND_LISTEN"]
    assert address.startswith(("unix:/", "127.0.0.1:"))
    for pod in release.pods.values():
        for container in release.containers(pod):
            for port in container.get("ports", []):
                assert f"127.0.0.1:{port['containerPort']}" != address
    for service in release.kind("Service"):
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ["model"]
    assert release.environment(release.server["containers"][0])["TRUEBAND_ADDRESS"] == address


def test_both_containers_meet_at_the_socket(release: Any) -> None:
    for pod in release.pods.values():
        for container in release.containers(pod):
            variables = release.environment(container)
            address = variables.get("TRUEBAND_LISTEN") or variables.get("TRUEBAND_ADDRESS", "")
            if address.startswith("unix:"):
                folder = address.removeprefix("unix:").rpartition("/")[0]
                mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
                assert mounted[folder] == "trueband-socket"


def test_metrics_are_declared_where_they_can_be_reached(release: Any) -> None:
    address = release.environment(release.sidecar)["TRUEBAND_METRICS_LISTEN"]
    ports = {entry["name"]: entry["containerPort"] for entry in release.sidecar["ports"]}
    if not release.values["sidecar"]["metrics"]["enabled"]:
        assert address == ""
    host, _, port = address.rpartition(":")
    if address and host not in LOOPBACK:
        assert ports["tb-metrics"] == int(port)
    else:
        assert "tb-metrics" not in ports


def test_every_probe_port_exists(release: Any) -> None:
    for pod in release.pods.values():
        for container in release.containers(pod):
            named = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                for action in ("grpc", "httpGet", "tcpSocket"):
                    port = container.get(probe, {}).get(action, {}).get("port")
                    assert port is None or port in named or port in named.values()


def test_port_names_and_numbers_are_unique_in_a_pod(release: Any) -> None:
    for pod in release.pods.values():
        ports = [port for container in release.containers(pod) for port in container.get("ports", [])]
        for key in ("name", "containerPort"):
            found = [port[key] for port in ports]
            assert len(found) == len(set(found))
        assert all(len(port["name"]) <= 15 for port in ports)


def test_every_container_of_ours_is_hardened(release: Any) -> None:
    for pod, container in ours(release):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert pod["securityContext"]["runAsNonRoot"] is True
        # A read-only root needs a place for temporary files.
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert release.environment(container)["HOME"] == "/tmp"


def test_pods_run_as_65532_unless_the_cluster_chooses(render: Callable[..., Any], release: Any) -> None:
    for pod in render({}).pods.values():
        security = pod["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (65532, 65532, 65532)
    chosen = release.values["podSecurityContext"].get("runAsUser")
    assert all(pod["securityContext"].get("runAsUser") == chosen for pod in release.pods.values())


def test_no_pod_gets_a_token_or_more_of_the_host(release: Any) -> None:
    for pod in release.pods.values():
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(pod)
        assert all("hostPath" not in volume for volume in pod["volumes"])
    for account in release.kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_the_grace_period_has_room_for_both_drains(release: Any) -> None:
    drain = int(release.environment(release.sidecar)["TRUEBAND_DRAIN_SECONDS"])
    assert release.server["terminationGracePeriodSeconds"] >= 2 * drain + 10
    # A native sidecar's preStop would run before the model server has drained.
    assert "lifecycle" not in release.sidecar


def test_selectors_match_their_pods_and_no_others(release: Any) -> None:
    deployment = release.one("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels.items()
    for service in release.kind("Service"):
        assert service["spec"]["selector"] == selector
    others = [pod["metadata"]["labels"] for pod in release.kind("Pod")] + [
        job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        for job in release.kind("CronJob")
    ]
    assert not any(selector.items() <= other.items() for other in others)


def test_common_labels_are_everywhere_and_names_unique(release: Any) -> None:
    common = release.values["commonLabels"]
    names = [(document["kind"], document["metadata"]["name"]) for document in release.documents]
    assert len(names) == len(set(names))
    for document in release.documents:
        assert common.items() <= document["metadata"]["labels"].items()
        assert document["metadata"]["namespace"] == "models"
        assert len(document["metadata"]["name"]) <= 63
        if document["kind"] == "Deployment":
            assert common.items() <= document["spec"]["template"]["metadata"]["labels"].items()


def test_an_image_with_a_digest_is_taken_by_it(release: Any) -> None:
    wanted = {"trueband": "sidecar", "status": "sidecar", "model-server": "modelServer"}
    for pod in release.pods.values():
        for container in release.containers(pod):
            image = release.values[wanted.get(container["name"], "training")]["image"]
            if image["digest"]:
                assert container["image"] == f"{image['repository']}@{image['digest']}"
            else:
                assert container["image"] == f"{image['repository']}:{image['tag'] or '0.1.0'}"
            assert container["imagePullPolicy"] == image["pullPolicy"]
        assert pod.get("imagePullSecrets", []) == release.values["imagePullSecrets"]


def test_secrets_are_references(release: Any) -> None:
    """Whatever can hold a credential comes from a Secret, with the name and key that the values say."""
    secret = release.values["mlflow"]["existingSecret"]
    expected = {
        "TRUEBAND_DECISION_KEY": release.values["decisionKey"]["existingSecret"],
        "TRUEBAND_AUDIT_KEYS": release.values["auditKeys"]["existingSecret"],
        "MLFLOW_TRACKING_USERNAME": {"name": secret["name"], "key": secret["usernameKey"]},
        "MLFLOW_TRACKING_PASSWORD": {"name": secret["name"], "key": secret["passwordKey"]},
        "MLFLOW_TRACKING_TOKEN": {"name": secret["name"], "key": secret["tokenKey"]},
    }
    variables = release.environment(release.sidecar)
    for name, reference in expected.items():
        if reference["name"] and reference["key"]:
            assert variables[name] == {"secretKeyRef": reference}
        else:
            assert name not in variables
    assert variables.get("MLFLOW_TRACKING_URI", "") == release.values["mlflow"]["trackingUri"]
    assert release.kind("Secret") == []


def test_the_ledger_url_comes_from_one_place(release: Any) -> None:
    ledger = release.values["ledger"]
    given = release.environment(release.sidecar).get("TRUEBAND_LEDGER_URL")
    if ledger["existingSecret"]["name"]:
        assert given == {"secretKeyRef": ledger["existingSecret"]}
    else:
        assert (given or "") == ledger["url"]


def test_numbers_reach_the_environment_as_written(render: Callable[..., Any]) -> None:
    """Helm reads numbers as floats, and prints large ones as 1e+07 unless told otherwise."""
    values = {
        "data": {"size": "1Ti"},
        "sidecar": {"journalMaxBytes": 123456789012, "pollIntervalSeconds": 3600},
    }
    release = render(values)
    variables = release.environment(release.sidecar)
    assert variables["TRUEBAND_JOURNAL_MAX_BYTES"] == "123456789012"
    assert variables["TRUEBAND_POLL_INTERVAL"] == "3600"


def test_the_notes_give_commands_that_fit_the_release(release: Any) -> None:
    name = release.one("Deployment")["metadata"]["name"]
    assert f"exec deployment/{name} --container trueband -- python -m sidecar status" in release.notes
    assert ("helm test demo" in release.notes) is release.values["tests"]["enabled"]
    for job in release.kind("CronJob"):
        assert f"--from=cronjob/{job['metadata']['name']} " in release.notes
    assert ("--token-file" in release.notes) is bool(release.values["principals"]["existingSecret"]["name"])


def test_the_notes_warn_of_what_would_be_lost(render: Callable[..., Any]) -> None:
    notes = render({}).notes
    assert "gone when the pod is" in notes
    assert "still the placeholder" in notes
    kept = render(
        {"data": {"persistence": {"enabled": True}}, "sidecar": {"image": {"repository": "r.example.org/x"}}}
    )
    assert "ATTENTION" not in kept.notes

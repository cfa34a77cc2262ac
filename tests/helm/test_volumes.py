"""Where the pods keep what: policy, journal, scratch space."""

from collections.abc import Callable
from typing import Any

import pytest


def test_mounts_and_volumes_fit(release: Any) -> None:
    for name, pod in release.pods.items():
        volumes = [volume["name"] for volume in pod["volumes"]]
        assert len(volumes) == len(set(volumes))
        mounts = [
            mount for container in release.containers(pod) for mount in container.get("volumeMounts", [])
        ]
        assert {mount["name"] for mount in mounts} == set(volumes), name
        for container in release.containers(pod):
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert len(paths) == len(set(paths))


@pytest.mark.parametrize("kind", ["policy", "floors"])
def test_policy_and_floors_are_directories_that_hot_reload(release: Any, kind: str) -> None:
    file = release.environment(release.sidecar).get(f"TRUEBAND_{kind.upper()}")
    mounts = [m for m in release.sidecar["volumeMounts"] if m["name"] == f"trueband-{kind}"]
    given = release.values[kind]
    assert bool(mounts) is bool(file) is bool(given["existingConfigMap"] or given["document"])
    if not mounts:
        return
    assert file == f"{mounts[0]['mountPath']}/{kind}.yaml"
    assert mounts[0]["readOnly"] is True
    assert all("subPath" not in m and "subPathExpr" not in m for m in release.sidecar["volumeMounts"])
    volume = next(v for v in release.server["volumes"] if v["name"] == f"trueband-{kind}")
    made = {
        config["metadata"]["name"] for config in release.kind("ConfigMap") if f"{kind}.yaml" in config["data"]
    }
    name = volume["configMap"]["name"]
    assert made == (set() if given["existingConfigMap"] else {name})
    assert name == (given["existingConfigMap"] or name)
    assert "items" not in volume["configMap"]


def test_policy_and_floors_are_kept_byte_for_byte(release: Any) -> None:
    for config in release.kind("ConfigMap"):
        ((key, text),) = config["data"].items()
        assert text == release.values[key.removesuffix(".yaml")]["document"]


@pytest.mark.parametrize("text", ["a: 'x'\nb: |\n  \n  text \t\n", "version: 1 # ü → €\nmodels: {a: {}}"])
def test_odd_bytes_survive(render: Callable[..., Any], text: str) -> None:
    document = text if "models" in text else f"version: 1\nmodels:\n  a: {{}}\n{text}"
    release = render({"policy": {"document": document}, "floors": {"document": document}})
    assert release.config("policy.yaml") == release.config("floors.yaml") == document


def test_the_data_volume_is_where_the_sidecar_keeps_its_data(release: Any) -> None:
    folder = release.environment(release.sidecar)["TRUEBAND_DATA_DIR"]
    mount = next(m for m in release.sidecar["volumeMounts"] if m["mountPath"] == folder)
    assert not mount.get("readOnly")
    volume = next(v for v in release.server["volumes"] if v["name"] == mount["name"])
    persistence = release.values["data"]["persistence"]
    claims = [claim["metadata"]["name"] for claim in release.kind("PersistentVolumeClaim")]
    if not persistence["enabled"]:
        assert volume["emptyDir"]["sizeLimit"] == release.values["data"]["size"]
        assert claims == []
        return
    assert volume["persistentVolumeClaim"]["claimName"] in {persistence["existingClaim"], *claims}
    assert bool(claims) is not bool(persistence["existingClaim"])
    # A second pod on the same journal would corrupt it, even during a roll-out.
    assert release.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert release.one("Deployment")["spec"]["replicas"] <= 1


def test_an_uninstall_keeps_the_journal(render: Callable[..., Any]) -> None:
    claim = render({"data": {"persistence": {"enabled": True}}}).one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_no_other_pod_shares_data_with_the_release(release: Any) -> None:
    """Neither the journal nor what the model server alone mounts: a claim may be of one pod only."""
    for pod in release.pods.values():
        claims = [v for v in pod["volumes"] if "persistentVolumeClaim" in v]
        assert pod is release.server or claims == []
    for pod in release.kind("Pod"):
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
        assert pod["spec"]["containers"][0]["command"] == ["python", "-m", "sidecar", "status"]
        assert pod["spec"]["restartPolicy"] == "Never"


def test_every_scratch_volume_is_bounded_and_every_container_has_requests(release: Any) -> None:
    for pod in release.pods.values():
        assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume)
        for container in release.containers(pod):
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "cpu" not in release.sidecar["resources"].get("limits", {})

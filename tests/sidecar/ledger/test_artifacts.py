"""What stands behind a digest is the text that was stored, whatever a newer version reads in it."""

import pytest

import calibrators
from calibrators.errors import CalibratorRefused
from sidecar import errors
from sidecar.decision.records import Artifact
from sidecar.ledger import artifacts, intake
from sidecar.ledger.store import Ledger
from sidecar.policy import floors_file, loading
from sidecar.policy.floors_file import Floors
from sidecar.policy.model import Policy

POLICY = "version: 1\nmodels: {m: {calibrator: 'file:x', evidence: score}}"


class NewerPolicy(Policy):
    """That of a version with one more key."""

    of_tomorrow: bool = False


class NewerFloors(Floors):
    """Those of a version with one more key."""

    of_tomorrow: bool = False


def test_a_policy_and_floors_come_back_under_the_digest_that_decisions_name(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, floors = loading.parse(POLICY), floors_file.parse("version: 1\nmandatory_categories: [refunds]")
    ledger.write(
        intake.take_in,
        [
            Artifact(digest=policy.digest, kind="policy", body=policy.canonical),
            Artifact(digest=floors.digest, kind="floors", body=floors.canonical),
        ],
    )
    with ledger.reading() as at:
        assert artifacts.policy_of(at, policy.digest) == policy
        assert artifacts.floors_of(at, floors.digest) == floors

    monkeypatch.setattr(loading, "Policy", NewerPolicy)
    monkeypatch.setattr(floors_file, "Floors", NewerFloors)
    assert loading.parse(policy.canonical).digest != policy.digest, "read anew it would have another"
    assert floors_file.parse(floors.canonical).digest != floors.digest
    with ledger.reading() as at:
        then, bound = artifacts.policy_of(at, policy.digest), artifacts.floors_of(at, floors.digest)
    assert then is not None
    assert bound is not None
    assert (then.digest, then.canonical) == (policy.digest, policy.canonical)
    assert (bound.digest, bound.canonical) == (floors.digest, floors.canonical)
    assert isinstance(then.policy, NewerPolicy)
    assert isinstance(bound.floors, NewerFloors)


def test_what_the_ledger_does_not_have_is_nothing(ledger: Ledger) -> None:
    with ledger.reading() as at:
        assert artifacts.text_of(at, "sha256:no") is None
        assert artifacts.policy_of(at, "sha256:no") is None
        assert artifacts.floors_of(at, "sha256:no") is None
        assert artifacts.calibrator_of(at, "sha256:no") is None


def test_a_text_that_is_not_the_digest_s_is_refused(ledger: Ledger) -> None:
    policy, floors = loading.parse(POLICY), floors_file.parse("version: 1")
    calibrator = calibrators.Calibrator(
        map=calibrators.Identity(),
        applies_to=calibrators.AppliesTo(model="m", model_versions=None, evidence="score"),
    )
    ledger.write(
        intake.take_in,
        [
            Artifact(digest="sha256:p", kind="policy", body=policy.canonical),
            Artifact(digest="sha256:f", kind="floors", body=floors.canonical),
            Artifact(digest="sha256:c", kind="calibrator", body=calibrators.dumps(calibrator)),
            Artifact(digest=calibrator.digest, kind="calibrator", body=calibrators.dumps(calibrator)),
        ],
    )
    with ledger.reading() as at:
        with pytest.raises(errors.PolicyRefused, match="kept as sha256:p"):
            artifacts.policy_of(at, "sha256:p")
        with pytest.raises(errors.FloorsRefused, match="kept as sha256:f"):
            artifacts.floors_of(at, "sha256:f")
        with pytest.raises(CalibratorRefused, match="kept as sha256:c") as caught:
            artifacts.calibrator_of(at, "sha256:c")
        assert caught.value.code == "DIGEST_MISMATCH"
        assert artifacts.calibrator_of(at, calibrator.digest) == calibrator


def test_calibrators_are_found_by_the_beginning_of_their_digest(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in,
        [
            Artifact(digest="sha256:ab12", kind="calibrator", body="{}"),
            Artifact(digest="sha256:ab99", kind="calibrator", body="{}"),
            Artifact(digest="sha256:ab55", kind="policy", body="{}"),
        ],
    )
    with ledger.reading() as at:
        assert artifacts.calibrator_digests(at, "ab") == ["sha256:ab12", "sha256:ab99"]
        assert artifacts.calibrator_digests(at, "SHA256:AB1") == ["sha256:ab12"]
        assert artifacts.calibrator_digests(at, "ab5") == []
        assert artifacts.calibrator_digests(at, "%") == []
        assert artifacts.calibrator_digests(at, "a_") == []

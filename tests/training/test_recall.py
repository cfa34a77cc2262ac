"""The recall: what acted only because of one calibrator, as the command finds it in a ledger."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import calibrators
from calibrators import AppliesTo, Calibrator, Constant, Identity, Platt
from sidecar.decision import recompute
from sidecar.decision.decide import RequestFloors
from sidecar.decision.records import Artifact, Decision, InForce
from sidecar.decision.steps import CalibratorReference, FallbackStep
from sidecar.ledger import intake
from sidecar.ledger.store import Ledger
from sidecar.policy import floors_file, loading
from sidecar.policy.actions import Action
from tests import builders
from training import cli

START = 1_790_000_000.0
POLICY = loading.parse("""
version: 1
models:
  leads:
    calibrator: models:/leads@champion
    evidence: score
    classes: [yes_please, other]
    categories: {general: {}, pricing: {mandatory_review: true}}
    fallback:
      - step: rules
        rules:
          - {name: stop, when: 'category == "x"', answer: other, calibrator: models:/stop@champion}
      - step: secondary
        address: secondary:8081
        model: backup
        inputs: [{name: text, from: context.text, datatype: BYTES}]
        output: {meaning: label_and_score, label: answer, score: confidence}
        calibrator: models:/backup@champion
""")
TABLE = floors_file.merge(POLICY.policy, None)["leads"]


def made(calibrator_map: calibrators.Map, source: calibrators.applies_to.Source = "primary") -> Calibrator:
    applies = AppliesTo(model="leads", model_versions=None, source=source, evidence="score")
    return Calibrator(map=calibrator_map, applies_to=applies)


SOUND = made(Platt(1.0, -1.0, "logit"))  # 0.95 -> 0.875, flagged; 0.99 -> 0.973, auto; 0.80 -> 0.595, hold
WRONG = made(Platt(1.0, 2.0, "logit"))  # 0.50 -> 0.881, flagged; 0.80 -> 0.967, auto; 0.20 -> 0.649, hold
STOP, STOP_NOW = made(Constant(0.95), "rules"), made(Constant(0.6), "rules")
BACKUP, BACKUP_NOW = made(Identity(), "secondary"), made(Platt(1.0, -2.0, "logit"), "secondary")


def reference(calibrator: Calibrator, name: str = "leads", version: str = "1") -> CalibratorReference:
    return builders.reference(calibrator, name, version)


def decided(
    number: int, score: float, calibrator: Calibrator, *, steps: tuple[FallbackStep, ...] = (), **changes: Any
) -> Decision:
    """The answer that a sidecar would have recorded, decided by the policy itself."""
    fields: dict[str, Any] = {
        "decision_id": f"d{number:04d}",
        "answer_id": f"a{number:04d}",
        "model": "leads",
        "model_version": "",
        "subject_ref": f"subject-{number}",
        "predicted_class": "yes_please",
        "action": Action.HOLD_FOR_REVIEW,
        "policy_digest": POLICY.digest,
        "calibrator": reference(calibrator),
        "stale_seconds": 1.0,
        "steps": steps,
    }
    draft = builders.decision(number, at=START + number, score=score, **fields | changes)
    verdict = recompute.again(draft, TABLE, calibrator, RequestFloors())
    kept = ("action", "may_act", "enforced", "band", "raw_confidence", "calibrated_confidence", "reasons")
    return builders.altered(draft, **{name: getattr(verdict, name) for name in kept})


def in_force(calibrator: Calibrator | None, since: float, slot: str = "calibrator:leads") -> InForce:
    digest = "" if calibrator is None else calibrator.digest
    return InForce(sidecar_id="s1", slot=slot, digest=digest, name="leads", since=START + since)


def artifact(calibrator: Calibrator) -> Artifact:
    return Artifact(digest=calibrator.digest, kind="calibrator", body=calibrators.dumps(calibrator))


ARTIFACTS = [
    Artifact(digest=POLICY.digest, kind="policy", body=POLICY.canonical),
    *(artifact(each) for each in (SOUND, WRONG, STOP, STOP_NOW, BACKUP, BACKUP_NOW)),
]
SCORES = {1: 0.50, 2: 0.80, 3: 0.99, 4: 0.20, 5: 0.95}
WITH_WRONG = [decided(100 + number, score, WRONG) for number, score in SCORES.items()]
"""Acted: all but d0104. Under SOUND d0103 and d0105 would act as well; d0101 and d0102 would not."""

Recall = Callable[..., int]


@pytest.fixture
def ledger_of(tmp_path: Path) -> Callable[..., str]:
    def fill(*records: Any) -> str:
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        with Ledger(url) as ledger:
            ledger.migrate()
            ledger.write(intake.take_in, [*ARTIFACTS, *records])
        return url

    return fill


def recall(url: str, *arguments: str) -> int:
    return cli.main(["recall", "--ledger-url", url, *arguments])


def found(
    url: str, capsys: pytest.CaptureFixture[str], *arguments: str, calibrator: Calibrator = WRONG
) -> dict[str, Any]:
    capsys.readouterr()
    assert recall(url, "--calibrator", calibrator.digest, "--json", *arguments) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def ids(document: dict[str, Any]) -> list[str]:
    return sorted(each["decision_id"] for each in document["decisions"])


def test_what_the_one_before_would_have_let_act_is_not_recalled(
    ledger_of: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = ledger_of(
        in_force(SOUND, 0),
        in_force(WRONG, 90),
        decided(50, 0.99, SOUND),
        *WITH_WRONG,
    )
    assert recall(url, "--calibrator", WRONG.digest) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        f"4 decisions acted with calibrator {WRONG.digest}.",
        "  2 only because of it: they would not have acted otherwise.",
        "  2 would have acted anyway.",
        "  0 cannot be decided again.",
    ]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines[5:]))))
    assert [(row["decision_id"], row["band_then"], row["band_now"]) for row in rows] == [
        ("d0102", "auto", "hold"),
        ("d0101", "flagged", "reject"),
    ]
    assert rows[0]["subject_ref"] == "subject-102"
    assert rows[0]["decided_at"] == "2026-09-21T14:15:02Z"
    assert rows[0]["action_now"] == "HOLD_FOR_REVIEW"
    document = found(url, capsys)
    assert {each["instead"] for each in document["decisions"]} == {SOUND.digest}
    assert (document["acted"], document["only_because"], document["anyway"]) == (4, 2, 2)


def test_another_may_take_its_place(
    ledger_of: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = ledger_of(in_force(WRONG, 90), *WITH_WRONG)
    every = ["d0101", "d0102", "d0103", "d0105"]
    assert ids(found(url, capsys)) == every, "before it nothing was in force"
    assert ids(found(url, capsys, "--instead", "none")) == every
    assert ids(found(url, capsys, "--instead", "identity")) == ["d0101"]
    assert ids(found(url, capsys, "--instead", SOUND.digest)) == ["d0101", "d0102"]
    assert ids(found(url, capsys, "--instead", WRONG.digest)) == []
    # Fitted for other answers, it serves none of these.
    assert ids(found(url, capsys, "--instead", BACKUP.digest)) == every


def test_what_was_in_force_before_is_that_of_the_moment(
    ledger_of: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = ledger_of(
        in_force(SOUND, 0),
        in_force(WRONG, 90),
        in_force(WRONG, 95),  # a restart
        in_force(None, 200),  # taken out of force
        in_force(WRONG, 300),
        decided(102, 0.99, WRONG),
        decided(302, 0.99, WRONG),
    )
    assert ids(found(url, capsys)) == ["d0302"]


def test_a_step_that_cleared_is_recalled_with_its_own_calibrator(
    ledger_of: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    def rule(calibrator: Calibrator) -> FallbackStep:
        return FallbackStep(
            step="rules",
            outcome="CLEARED",
            rule="stop",
            answer_class="other",
            calibrated_confidence=calibrator.apply_one(0.5),
            calibrator=reference(calibrator, "stop"),
        )

    def secondary(raw: float) -> FallbackStep:
        return FallbackStep(
            step="secondary",
            outcome="CLEARED",
            answer_class="other",
            raw_confidence=raw,
            calibrated_confidence=BACKUP.apply_one(raw),
            calibrator=reference(BACKUP, "backup"),
        )

    by_rule = decided(1, 0.80, SOUND, steps=(rule(STOP),))
    sure, less = (
        decided(2, 0.80, SOUND, steps=(secondary(0.99),)),
        decided(3, 0.80, SOUND, steps=(secondary(0.92),)),
    )
    assert all(each.may_act for each in (by_rule, sure, less))
    url = ledger_of(
        in_force(SOUND, 0),
        in_force(STOP_NOW, 0, "calibrator:leads:rules/stop"),
        in_force(STOP, 0.5, "calibrator:leads:rules/stop"),
        in_force(BACKUP, 0.5, "calibrator:leads:secondary"),
        by_rule,
        sure,
        less,
    )
    document = found(url, capsys, calibrator=STOP)
    assert (ids(document), document["decisions"][0]["instead"]) == (["d0001"], STOP_NOW.digest)
    assert ids(found(url, capsys, calibrator=BACKUP)) == ["d0002", "d0003"]
    assert ids(found(url, capsys, "--instead", "identity", calibrator=BACKUP)) == []
    assert ids(found(url, capsys, "--instead", BACKUP_NOW.digest, calibrator=BACKUP)) == ["d0003"]
    # Without the primary's nobody knows what the primary's answer is worth, and no machine clears it.
    assert ids(found(url, capsys, calibrator=SOUND)) == ["d0001", "d0002", "d0003"]


def test_what_cannot_be_decided_again_is_counted_and_said(
    ledger_of: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    lost = decided(150, 0.80, WRONG, policy_digest="sha256:lost")
    url = ledger_of(in_force(WRONG, 90), *WITH_WRONG, lost)
    assert recall(url, "--calibrator", WRONG.digest) == 0
    told = capsys.readouterr().out
    assert "1 cannot be decided again" in told
    assert "the ledger does not have the policy sha256:lost" in told
    (other,) = found(url, capsys)["cannot_be_decided_again"]
    assert other["decision_id"] == "d0150"


def test_another_answer_that_acted_by_itself_keeps_the_decision(
    ledger_of: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    again = decided(101, 0.99, SOUND, answer_id="retry", decided_at=START + 500)
    url = ledger_of(in_force(WRONG, 90), WITH_WRONG[0], again)
    document = found(url, capsys)
    assert (document["acted"], document["anyway"], ids(document)) == (1, 1, [])


def test_since_bounds_it_and_a_file_takes_the_list(
    ledger_of: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    odd = decided(120, 0.80, WRONG, subject_ref="=cmd|'/c calc'!A1")
    url = ledger_of(in_force(WRONG, 90), *WITH_WRONG, odd)
    assert found(url, capsys, "--since", "1h")["acted"] == 0
    out = tmp_path / "recalled.csv"
    assert recall(url, "--calibrator", WRONG.digest, "--out", str(out)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Wrote {out}."
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert len(rows) == 5
    assert rows[0]["subject_ref"] == "'=cmd|'/c calc'!A1", "no spreadsheet runs it"
    assert recall(url, "--calibrator", WRONG.digest, "--out", str(tmp_path / "no" / "where")) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_beginning_of_a_digest_is_enough_if_it_is_unique(
    ledger_of: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = ledger_of(
        in_force(WRONG, 90),
        *WITH_WRONG,
        Artifact(digest="sha256:aaaa11", kind="calibrator", body="{}"),
        Artifact(digest="sha256:aaaa22", kind="calibrator", body="{}"),
        Artifact(digest="sha256:aaaa33", kind="policy", body="{}"),
    )
    for prefix in (WRONG.digest[:15], WRONG.digest[7:15], WRONG.digest[7:15].upper()):
        assert recall(url, "--calibrator", prefix) == 0
        assert capsys.readouterr().out.startswith(f"4 decisions acted with calibrator {WRONG.digest}")
    for given, words in (
        ("aaaa", "2 calibrators begin so (sha256:aaaa11, sha256:aaaa22)"),
        ("aaaa33", "no calibrator in the ledger has such a digest"),
        ("beef%", "hexadecimal digits"),
        ("sha256:", "hexadecimal digits"),
        ("", "hexadecimal digits"),
    ):
        assert recall(url, "--calibrator", given) == 2
        assert words in capsys.readouterr().err
    assert recall(url, "--calibrator", WRONG.digest, "--instead", "champion") == 2
    assert "--instead champion" in capsys.readouterr().err
    assert recall("sqlite:////nowhere/ledger.db", "--calibrator", "ab") == 2
    assert "there is no ledger" in capsys.readouterr().err

"""`python -m training watch`, over a real ledger: what it prints, remembers, refuses, and answers."""

import json
import math
import threading
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

import calibrators
from calibrators import AppliesTo, Calibrator, Fit, Identity, ScoreHistogram
from sidecar.decision.records import Artifact
from sidecar.decision.steps import CalibratorReference
from sidecar.ledger import watch_states
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Action
from training import cli, console
from training.watch import state, store

BROKEN = [number % 6 != 0 for number in range(120)]
"""Five of six are right, where nineteen of twenty are promised."""


def streams_of(world) -> list[state.StreamState]:
    return [state.decode(body) for name, body in world.states().items() if name != store.ROW]


def told_json(world, *arguments: str, **more):
    code, out, err = world.watch("--json", *arguments, **more)
    return code, json.loads(out), err


def test_a_kept_promise_is_told_and_is_no_alarm(world) -> None:
    world.add([True] * 60)
    world.add(
        [True, False] * 8, band="reject", action=Action.REJECT, may_act=False, calibrated_confidence=0.5
    )
    code, out, err = world.watch("--fail-on-alarm")
    assert (code, err) == (0, "")
    assert "auto v1" in out
    assert "95.0%" in out
    assert "of 40 : 1" in out
    assert "of 80,000" in out
    assert "ALARM" not in out
    assert "together" not in out, "there is one promise"
    auto, reject = sorted(streams_of(world), key=lambda each: each.stream.band)
    assert (auto.labels, auto.correct, auto.stream.promise) == (60, 60, 0.95)
    assert (reject.labels, reject.correct, reject.stream.promise) == (16, 8, None)


def test_a_broken_promise_is_an_alarm_that_stays(world) -> None:
    world.add(BROKEN)
    code, out, _ = world.watch()
    assert code == 0, "nobody asked for a code"
    assert "ALARM" in out
    assert "ACCURACY alarm of" in out.replace("\n", " ")
    assert world.watch("--fail-on-alarm")[0] == 3
    (kept,) = streams_of(world)
    (alarm,) = (each for each in kept.alarms if each.kind == "ACCURACY")
    assert alarm.log_evidence >= math.log(40.0)
    # A long good spell takes nothing back.
    world.add([True] * 2000)
    code, document, _ = told_json(world, "--fail-on-alarm")
    assert code == 3
    (stream,) = document["models"]["leads"]["streams"]
    assert stream["accuracy_log_evidence"] < 0.0
    assert stream["labels"] == 2120
    assert stream["alarms"][0]["open"] is True
    assert stream["alarms"][0]["labels"] == alarm.labels


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_keeps_the_names_of_streams_on_an_alarm(world, width, monkeypatch) -> None:
    monkeypatch.setattr(console, "WIDTH_OF_A_FILE", width)
    world.add(BROKEN, category="refunds")
    world.add([False] * 300, model_version="2027-large")
    code, out, _ = world.watch()
    assert code == 0
    rows = [row.strip() for row in out[: out.index(" alarm of ")].splitlines()]
    assert any(row.startswith("auto 2027-large ") for row in rows)
    assert any(row.startswith("auto v1, refunds ") for row in rows)
    assert any(row == "ALARM" for row in rows)
    ids = {each.stream.id for each in streams_of(world)}
    assert all(any(row.startswith(name) for row in rows) for name in ids)
    assert all(
        word in rows[0] + rows[1] + rows[2] for word in ("evidence:", "broken", "changed", "confidence")
    )


def test_looking_again_feeds_nothing_twice_and_writes_nothing(world) -> None:
    world.add(BROKEN)
    world.watch()
    with Ledger(world.url) as ledger:
        before = ledger.read(watch_states.states, "leads")
    for at in (1_791_000_000.0, 1_791_000_100.0):
        world.watch(at=at)
    with Ledger(world.url) as ledger:
        assert ledger.read(watch_states.states, "leads") == before


def test_only_new_labels_are_taken_in_and_a_late_one_is_not_lost(world) -> None:
    world.add([True] * 20)
    world.watch(at=1_790_000_075.0)  # labels come 60 s after the answers: fifteen of them
    assert [each.labels for each in streams_of(world)] == [15]
    world.watch()
    assert [each.labels for each in streams_of(world)] == [20]
    world.add([False], label_recorded_at=1_790_000_070.5)  # from a journal that was away
    world.watch()
    (kept,) = streams_of(world)
    assert (kept.labels, kept.correct) == (21, 20)
    assert world.watch(at=1_790_000_075.0)[0] == 0, "the clock of another machine may be behind"
    code, _, err = world.watch(at=1_789_000_000.0)
    assert code == 2
    assert "the detectors cannot forget: give a later --as-of" in err


def test_a_dry_run_changes_nothing(world, tmp_path: Path) -> None:
    world.add(BROKEN)
    metrics = tmp_path / "watch.prom"
    code, document, _ = told_json(world, "--dry-run", "--fail-on-alarm", "--prometheus", str(metrics))
    assert code == 3
    assert document["models"]["leads"]["streams"][0]["labels"] == 120
    assert world.states() == {}
    assert not metrics.exists()


def test_a_new_champion_or_another_promise_starts_a_new_stream_and_the_old_is_kept(world) -> None:
    world.add(BROKEN)
    assert world.watch("--fail-on-alarm")[0] == 3
    (old,) = streams_of(world)
    newer = CalibratorReference(name="leads-calibrator", version="4", kind="platt", digest="sha256:newer")
    world.add([True] * 10, calibrator=newer)
    code, document, _ = told_json(world, "--fail-on-alarm")
    assert code == 0, "the alarm was about another calibrator"
    assert [each["calibrator"] for each in document["models"]["leads"]["streams"]] == ["sha256:newer"]
    assert old in streams_of(world)
    assert "alarm under a calibrator or promise that is no more" in world.watch()[1].replace("\n", " ")
    # Back to the old one: its alarm is still open.
    world.add([True] * 10)
    assert world.watch("--fail-on-alarm")[0] == 3
    # Under another promise what was seen before says nothing about it.
    world.use(world.policy.canonical.replace('"accuracy":0.95', '"accuracy":0.8'))
    world.add([True] * 10)
    code, document, _ = told_json(world, "--fail-on-alarm")
    assert code == 0
    assert [(each["promise"], each["labels"]) for each in document["models"]["leads"]["streams"]] == [
        (0.8, 10)
    ]


def test_once_another_calibrator_decides_the_old_alarm_is_past_before_any_label_says_so(world) -> None:
    world.add(BROKEN)
    assert world.watch("--fail-on-alarm")[0] == 3
    newer = CalibratorReference(name="leads-calibrator", version="4", kind="platt", digest="sha256:newer")
    world.add_scores([0.9, 0.91], newer, labelled=False)
    code, out, _ = world.watch("--fail-on-alarm", at=1_790_001_000.0)
    assert code == 0
    assert "no label of an audit speaks of what decides now" in " ".join(out.split())
    assert "alarm under a calibrator or promise that is no more" in " ".join(out.split())


def test_a_category_with_a_promise_of_its_own_is_watched_by_it(world) -> None:
    world.add([True] * 30)
    world.add([number % 12 != 0 for number in range(240)], category="refunds")
    code, document, _ = told_json(world, "--fail-on-alarm")
    assert code == 3
    found = {each["category"]: each for each in document["models"]["leads"]["streams"]}
    assert found["refunds"]["promise"] == 0.99
    assert "ACCURACY" in [each["kind"] for each in found["refunds"]["alarms"]]
    assert found[""]["alarms"] == []
    assert found[""]["labels"] == 30
    together = document["models"]["leads"]["all_streams"]
    assert together["accuracy_named_by_e_bh"] == [found["refunds"]["stream"]]
    out = world.watch()[1].replace("\n", " ")
    assert "All 2 promises together" in out
    assert f"e-BH at 0.05 names {found['refunds']['stream']}" in " ".join(out.split())


def test_every_model_of_the_policy_or_the_one_that_is_named(world) -> None:
    world.use(
        "version: 1\nmodels:\n"
        "  leads: {calibrator: 'models:/l@champion', evidence: score}\n"
        "  other: {calibrator: 'models:/o@champion', evidence: score}\n"
    )
    world.add([True] * 5)
    world.add([True] * 5, model="other")
    _, document, _ = told_json(world)
    assert set(document["models"]) == {"leads", "other"}
    assert [each["promise"] for each in document["models"]["other"]["streams"]] == [0.9], "the lower edge"
    _, document, _ = told_json(world, "--model", "other")
    assert set(document["models"]) == {"other"}
    code, _, err = world.watch("--model", "nobody")
    assert code == 2
    assert "the policy has no model 'nobody'; it has leads, other" in err


def test_two_at_once_feed_each_label_once(world) -> None:
    world.add(BROKEN)
    ready, codes = threading.Barrier(4), []

    def watch() -> None:
        ready.wait()
        codes.append(cli.main(["watch", "--ledger-url", world.url, "--json", "--as-of", "1791000000"]))

    threads = [threading.Thread(target=watch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0, 0, 0]
    (kept,) = streams_of(world)
    assert kept.labels == 120
    assert len(kept.alarms) == len({alarm.kind for alarm in kept.alarms})


def test_a_person_takes_note_of_an_alarm(world) -> None:
    world.add(BROKEN)
    world.watch()
    (kept,) = streams_of(world)
    name = kept.stream.id
    note = ("--by", "ada", "--reason", "the feed was broken")
    for arguments, words in [
        (("--acknowledge", name), "needs --by WHO and --reason TEXT"),
        (("--acknowledge", name, "--by", "ada", "--reason", " "), "needs --by WHO and --reason TEXT"),
        (
            ("--acknowledge", "zzz", *note),
            f"no stream whose id begins with 'zzz'; with an open alarm: {name}",
        ),
        (("--acknowledge", name, "--dry-run", *note), "give one or the other"),
        (note, "go with --acknowledge"),
    ]:
        code, _, err = world.watch(*arguments)
        assert (code, words in err) == (2, True), err
    assert streams_of(world) == [kept]
    code, out, _ = world.watch("--acknowledge", name[:6], *note)
    assert code == 0
    assert f"ada took note of the alarms of {name} (auto, leads v1); its detectors begin anew" in out
    code, document, _ = told_json(world, "--fail-on-alarm")
    assert code == 0
    (stream,) = document["models"]["leads"]["streams"]
    assert stream["labels"] == 0, "what was seen before is not fed again"
    assert stream["alarms"][0]["acknowledged_by"] == "ada"
    assert "ada took note: the feed was broken" in world.watch()[1].replace("\n", " ")
    world.add(BROKEN)
    assert world.watch("--fail-on-alarm")[0] == 3, "the next breach is found"
    code, _, err = world.watch("--acknowledge", "", *note)
    assert (code, err) == (0, "")


def test_prometheus_reads_what_is_written_and_never_half_of_it(world, tmp_path: Path) -> None:
    world.add(BROKEN)
    file = tmp_path / "out" / "watch.prom"
    code, _, err = world.watch("--prometheus", str(file))
    assert code == 1
    assert f"not done: {file}: cannot be written" in err
    file.parent.mkdir()
    assert world.watch("--prometheus", str(file))[0] == 0
    assert [each.name for each in file.parent.iterdir()] == ["watch.prom"], "no draft is left"
    samples = {
        (sample.name, sample.labels.get("kind", "")): sample
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    }
    labels = samples["trueband_watch_labels", ""]
    assert labels.value == 120
    assert {key: labels.labels[key] for key in ("model", "model_version", "band", "category", "source")} == {
        "model": "leads",
        "model_version": "v1",
        "band": "auto",
        "category": "",
        "source": "PRIMARY",
    }
    assert samples["trueband_watch_correct", ""].value == 100
    assert samples["trueband_watch_promise", ""].value == 0.95
    assert samples["trueband_watch_alarm", "ACCURACY"].value == 1
    needed = samples["trueband_watch_accuracy_log_needed", ""].value
    assert needed == pytest.approx(math.log(40.0))
    assert samples["trueband_watch_last_run_timestamp_seconds", ""].value == 1_791_000_000.0
    assert samples["trueband_watch_undone", ""].value == 0


def test_what_cannot_be_watched_is_refused_with_what_to_do(world, tmp_path: Path) -> None:
    code, out, err = world.watch()
    assert (code, err) == (0, "")
    assert "has no decision yet" in out
    assert told_json(world)[1]["models"] == {}
    world.add([True] * 3)
    for arguments, words in [
        (("--ledger-url", f"sqlite:///{tmp_path}/none.db"), "there is no ledger at"),
        (("--ledger-url", "mysql://nowhere"), "must begin with one of sqlite, postgresql"),
        (("--policy", str(tmp_path / "none.yaml")), "none.yaml"),
        (("--token-file", str(tmp_path / "none")), "cannot be read"),
    ]:
        code, _, err = world.watch(*arguments)
        assert (code, words in err) == (2, True), err
        assert "Traceback" not in err
    for arguments in (("--as-of", "soon"), ("--shift-window", "a week")):
        with pytest.raises(SystemExit) as end:
            world.watch(*arguments)
        assert end.value.code == 2


def test_what_a_newer_version_remembers_is_not_overwritten(world) -> None:
    world.add([True] * 3)
    world.watch()
    with Ledger(world.url) as ledger:
        (row,) = (row for name, row in ledger.read(watch_states.states, "leads").items() if name != store.ROW)
        later = msgspec.structs.replace(row, body=row.body.replace('"schema":1', '"schema":2'))
        ledger.write(watch_states.keep, [later])
    code, _, err = world.watch()
    assert code == 2
    assert "cannot be read by this version" in err


# Scores.


def calibrator(scores: "list[float] | None", **fit) -> Calibrator:
    fields = {"n": 4000, "n_effective": 4000.0, "positives": 0.9, "distinct": 4000, "data_digest": None}
    window = {"window_from": None, "window_to": None}
    return Calibrator(
        Identity(),
        applies_to=AppliesTo(model="leads", model_versions=None, evidence="score"),
        fit=Fit(**(fields | window | fit)),
        histogram=None if scores is None else ScoreHistogram.of(scores),
    )


def in_force(world, made: Calibrator) -> CalibratorReference:
    world.apply([Artifact(digest=made.digest, kind="calibrator", body=calibrators.dumps(made))])
    return CalibratorReference(name="leads-calibrator", version="9", kind="identity", digest=made.digest)


def spread(n: int, low: float, high: float) -> list[float]:
    return [low + (high - low) * number / n for number in range(n)]


def test_other_scores_than_at_the_fit_are_a_warning_and_no_alarm(world) -> None:
    world.use(world.policy.canonical.replace('"on_alarm":false', '"on_alarm":true'))
    assert world.policy.policy.models["leads"].retrain.on_alarm
    reference = in_force(world, calibrator(spread(4000, 0.5, 1.0)))
    world.add_scores(spread(400, 0.5, 1.0), reference)
    code, document, _ = told_json(world, "--fail-on-alarm", at=1_790_001_000.0)
    (shift,) = document["models"]["leads"]["score_shift"]
    assert (code, shift["warns"], shift["n"]) == (0, False, 400)
    assert shift["reference"] == "the 4,000 labels of the fit"
    world.add_scores(spread(800, 0.9, 1.0), reference)
    code, document, _ = told_json(world, "--fail-on-alarm", at=1_790_002_000.0)
    (shift,) = document["models"]["leads"]["score_shift"]
    assert shift["psi"] > 0.1
    assert shift["warns"] is True
    assert code == 0, "a warning is no alarm"
    out = world.watch(at=1_790_002_000.0)[1].replace("\n", " ")
    assert "WARNING since 2026-09-21" in out
    assert "no reason to refit by itself" in out
    assert "a retrain was due" not in out
    assert store.decode(world.states()[store.ROW]).runs == ()
    # A week later only the scores of that week count, and there are none.
    _, document, _ = told_json(world, at=1_791_000_000.0)
    assert document["models"]["leads"]["score_shift"] == []


def test_without_a_histogram_the_decisions_of_the_fitting_window_are_the_reference(world) -> None:
    made = calibrator(None, window_from="2026-09-21T14:13:21Z", window_to="2026-09-21T14:18:20Z")
    assert made.fit is not None
    reference = in_force(world, made)
    world.add_scores(spread(300, 0.5, 1.0), reference)
    world.add_scores(spread(700, 0.9, 1.0), reference)
    _, document, _ = told_json(world, "--shift-window", "10m", at=1_790_001_000.0)
    (shift,) = document["models"]["leads"]["score_shift"]
    assert shift["reference"] == "the 300 decisions of the fitting window"
    assert shift["warns"] is True
    bare = in_force(world, calibrator(None, note="no window"))
    world.add([True], calibrator=bare)
    _, document, _ = told_json(world)
    assert document["models"]["leads"]["score_shift"] == []
    _, document, _ = told_json(world, "--shift-window", "60d")
    (shift,) = document["models"]["leads"]["score_shift"]
    assert (shift["psi"], shift["warns"]) == (None, False)
    assert "carries no histogram" in shift["reference"]


def test_calibration_drift_is_told_apart_from_accuracy(world) -> None:
    """What is promised is kept, and the confidences claim more than that."""
    world.add([number % 25 != 0 for number in range(800)], calibrated_confidence=0.995)
    code, document, _ = told_json(world, "--fail-on-alarm")
    assert code == 3
    (stream,) = document["models"]["leads"]["streams"]
    assert [alarm["kind"] for alarm in stream["alarms"]] == ["CALIBRATION"]
    assert stream["mean_overconfidence"] == pytest.approx(0.035, abs=0.001)
    assert "confidence minus accuracy is +3.5%" in world.watch()[1].replace("\n", " ")

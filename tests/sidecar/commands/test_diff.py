"""`diff`, and its replay of what a small ledger has."""

import msgspec
import pytest

import calibrators
from sidecar import cli
from sidecar.decision.records import Artifact
from sidecar.ledger import intake, queries
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Intent
from tests import builders
from tests.sidecar import services

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/lead-classifier-calibrator@champion
    evidence: score
    categories: {general: {}, contracts: {mandatory_review: true}}
"""
STRICTER = (
    POLICY + "    bands: [{name: a, from: 0.96, action: AUTO_ROUTE}, {name: r, from: 0, action: ESCALATE}]\n"
)
FLOORS = "version: 1\nmandatory_categories: [general]\n"


@pytest.fixture
def files(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def old(files):
    return files("old.yaml", POLICY)


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.delenv("TRUEBAND_LEDGER_URL", raising=False)
    monkeypatch.delenv("TRUEBAND_DATA_DIR", raising=False)

    def typed(*arguments):
        code = cli.main(["diff", *(str(argument) for argument in arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed


@pytest.fixture
def data_dir(tmp_path):
    """A sidecar's folder whose ledger has 40 answers: 30 that acted, 5 held, 4 rejected, 1 in shadow."""
    made = services.bare(POLICY)
    scores = [0.95] * 20 + [0.97] * 10 + [0.6] * 5 + [0.2] * 4
    for number, score in enumerate(scores):
        made.now += 1
        made.router.route(builders.query(score, request_id=f"r-{number}"))
    made.router.route(builders.query(0.95, intent=Intent.SHADOW))
    held = next(iter(made.snapshot.calibrators.values())).calibrator
    text = calibrators.dumps(held)
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.migrate()
        ledger.write(
            intake.take_in,
            [Artifact(digest=held.digest, kind="calibrator", body=text), *made.journal.decisions],
        )
    return tmp_path


def test_equal_policies_mean_the_same(run, old, files):
    code, out, err = run(old, files("new.yaml", "# a comment\n" + POLICY))
    assert (code, out, err) == (0, "The policies mean the same.\n", "")


def test_what_changes_is_told_by_key_and_by_cell(run, old, files):
    code, out, err = run(old, files("new.yaml", STRICTER))
    assert (code, err) == (0, "")
    lines = [line.strip() for line in out.splitlines()]
    assert "models.lead-classifier.bands[a].from: (absent) -> 0.96" in lines
    assert "Mandatory review: the same categories and confidences." in lines
    assert "model lead-classifier, category general, 0.9 to 0.96, in force: AUTO_ROUTE -> ESCALATE" in lines
    assert "model lead-classifier, category general, 0 to 0.5, in force: REJECT -> ESCALATE" in lines
    assert "LOST" not in out


def test_a_mode_that_lets_answers_act_is_told_in_capitals(run, files):
    observed = files("observed.yaml", POLICY.replace("evidence: score", "evidence: score\n    mode: observe"))
    enforced = files("enforced.yaml", POLICY)
    code, out, _ = run(observed, enforced)
    assert code == 0
    assert "MODEL lead-classifier, observe -> enforce: WHAT WAS ONLY RECORDED ACTS FROM NOW ON." in out
    assert "nothing acts any more" in run(enforced, observed)[1]


def test_lost_mandatory_review_and_lost_detectors_are_told_in_capitals(run, files):
    detector = "detectors: [{name: lawyer, category: legal, pattern: attorney}]\n"
    old = files("old.yaml", POLICY + detector)
    new = files("new.yaml", POLICY.replace("contracts: {mandatory_review: true}", "contracts: {}"))
    _, out, _ = run(old, new)
    lost = "LOST: model lead-classifier, category contracts, 0 to 1: REVIEW IS NOT MANDATORY ANY MORE"
    assert lost in out
    assert "LOST: detector lawyer: legal IS NOT LOOKED FOR" in out
    _, out, _ = run(new, old)
    assert "gained: model lead-classifier, category contracts, 0 to 1" in out
    assert "LOST" not in out


def test_a_model_that_is_gone_is_told_in_capitals(run, old, files):
    new = files("new.yaml", POLICY.replace("lead-classifier:", "other:"))
    _, out, _ = run(old, new)
    assert "MODEL lead-classifier IS GONE" in out
    assert "Model other is new." in out


def test_floors_bind_both_sides_or_differ(run, old, files):
    floors = files("floors.yaml", FLOORS)
    code, out, _ = run(old, old, "--floors", floors)
    assert (code, out) == (0, "The policies mean the same.\n")
    _, out, _ = run(old, old, "--new-floors", floors)
    assert 'floors.mandatory_categories["general"]: (absent) -> "general"' in out
    assert "gained: model lead-classifier, category general, 0 to 1" in out
    without = files("less.yaml", "version: 1\n")
    _, out, _ = run(old, old, "--floors", floors, "--new-floors", without)
    assert "LOST: model lead-classifier, category general" in out


def test_a_replay_counts_where_decisions_would_have_gone(run, old, files, data_dir):
    new = files("new.yaml", STRICTER)
    code, out, err = run(old, new, "--replay", "--data-dir", data_dir)
    assert (code, err) == (0, "")
    assert "Replay: 29 of 39 recorded answers would have gone elsewhere (74.36%)." in out
    assert "left out: 1 shadow answers" in out
    rows = [
        " ".join(line.split())
        for line in out.splitlines()
        if "->" in line and line.endswith(tuple("0123456789"))
    ]
    assert rows[-4:] == [
        "AUTO_ROUTE -> ESCALATE: 20",
        "HOLD_FOR_REVIEW -> ESCALATE: 5",
        "REJECT -> ESCALATE: 4",
        "AUTO_ROUTE -> (the same): 10",
    ]


def test_a_replay_under_floors(run, old, files, data_dir):
    floors = files("floors.yaml", FLOORS)
    url = f"sqlite:///{data_dir}/ledger.db"
    _, out, _ = run(old, old, "--new-floors", floors, "--replay", "--ledger-url", url)
    assert "Replay: 34 of 39" in out
    assert "-> HOLD_FOR_REVIEW: 30" in out
    assert "-> ESCALATE: 4" in out


def test_a_replay_since_a_while_ago(run, old, files, data_dir, monkeypatch):
    last = 1_770_000_000.0 + 39
    monkeypatch.setattr("sidecar.commands.diff.time.time", lambda: last)
    _, out, _ = run(old, files("new.yaml", STRICTER), "--replay", "--since", "3s", "--data-dir", data_dir)
    assert "Replay: 4 of 4 " in out
    assert "left out: 1 shadow" in out


def test_many_pages_are_all_read(run, old, files, data_dir, monkeypatch):
    monkeypatch.setattr("sidecar.commands.diff.PAGE_SIZE", 7)
    _, out, _ = run(old, files("new.yaml", STRICTER), "--replay", "--data-dir", data_dir)
    assert "Replay: 29 of 39" in out


def test_an_answer_whose_calibrator_is_missing_is_counted_apart(run, old, files, data_dir):
    with Ledger(f"sqlite:///{data_dir}/ledger.db") as ledger:
        known = ledger.read(queries.decisions, page_size=1).items[0].answers[0]
        lost = builders.altered(
            known,
            decision_id="later",
            answer_id="later",
            intent=Intent.LIVE,
            calibrator=msgspec.structs.replace(known.provenance.calibrator, digest="sha256:lost"),
        )
        ledger.write(intake.take_in, [lost])
    code, out, _ = run(old, files("new.yaml", STRICTER), "--replay", "--data-dir", data_dir)
    assert code == 0
    assert "Replay: 29 of 39" in out
    assert "left out: 1 whose calibrator the ledger does not have" in out


def test_an_empty_ledger_has_nothing_to_replay(run, old, files, tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.migrate()
    code, out, _ = run(old, files("new.yaml", STRICTER), "--replay", "--data-dir", tmp_path)
    assert code == 0
    assert "Replay: 0 of 0 recorded answers would have gone elsewhere." in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--since", "7d"), "--since goes with --replay"),
        (("--replay", "--data-dir", "/nowhere"), "there is no ledger at /nowhere/ledger.db"),
        (("--replay", "--ledger-url", "nonsense"), "ledger URL"),
        (("--floors", "/nowhere.yaml"), "/nowhere.yaml: cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, old, arguments, says):
    code, _, err = run(old, old, *arguments)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


def test_what_is_no_time_is_refused(run, old, capsys):
    with pytest.raises(SystemExit) as end:
        run(old, old, "--replay", "--since", "soon")
    assert end.value.code == 2
    assert "argument --since: 'soon' is neither" in capsys.readouterr().err


def test_a_bad_policy_is_named(run, old, files):
    bad = files("bad.yaml", POLICY.replace("evidence", "evidenc"))
    code, out, err = run(old, bad)
    assert (code, out) == (2, "")
    assert "bad.yaml" in err

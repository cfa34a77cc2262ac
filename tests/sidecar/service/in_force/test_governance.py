"""Who changed what decides: seen once, signed where somebody signed, found again after a restart."""

import dataclasses
import json

import pytest

from calibrators import CalibratorRefused
from sidecar.decision.records import Governance
from sidecar.dialect import Place
from sidecar.policy import floors_file, loading
from sidecar.service.in_force import governance, policy_file
from sidecar.service.in_force.alias_trace import UNFINISHED_SECONDS, AliasTrace
from sidecar.service.in_force.governance import GovernanceLog
from sidecar.service.registry import Resolved
from sidecar.service.registry.fetch import Fetch
from tests.sidecar import services

URI = "models:/cal@champion"
POLICY = "version: 1\nmodels:\n  m: {calibrator: 'file:x', evidence: score}\n"
FLOORS = "version: 1\nmandatory_categories: [refunds]\n"


class Registry:
    """An alias, versions and their tags, moved as `python -m training` moves them, or by hand."""

    def __init__(self) -> None:
        self.versions: dict[str, dict[str, str]] = {}
        self.at = ""
        self.time = 0
        self.asked: list[str] = []

    def tags(self, version: str) -> dict[str, str]:
        self.asked.append(version)
        return self.versions.get(version, {})

    def by_hand(self, target: str) -> None:
        self.versions.setdefault(target, {})
        self.at = target

    def begin(self, target: str, kind: str = "promote", **more: object) -> None:
        self.versions.setdefault(target, {})
        self.time += 1
        self.fields = {
            "alias": "champion",
            "kind": kind,
            "from_version": self.at or None,
            "to_version": target,
            "by": "ada",
            "reason": f"{kind} {target}",
            "at": 1000.0 + self.time,
            "done": False,
            "time": "x",
            **more,
        }
        self.versions[target][f"trueband.move.{self.time:04d}"] = json.dumps(self.fields)
        self.origin, self.at = self.at, target

    def finish(self) -> None:
        for version in {self.at, self.origin} - {""}:
            self.versions[version][f"trueband.move.{self.time:04d}"] = json.dumps(
                self.fields | {"done": True}
            )

    def move(self, target: str, kind: str = "promote", **more: object) -> None:
        self.begin(target, kind, **more)
        self.finish()


class Life:
    """One life of a sidecar: what it journals of what it sees."""

    def __init__(
        self, path, registry: Registry, journal, name: str = "sidecar-a", now: float = 2000.0
    ) -> None:
        self.registry, self.journal, self.now = registry, journal, now
        self.log = GovernanceLog(path, sidecar_id=name, journal=journal, clock=lambda: self.now)
        self.trace = AliasTrace(self.log, sidecar_id=name, clock=lambda: self.now)

    def look(self) -> None:
        version = self.registry.at
        tags = self.registry.versions.get(version, {})
        resolved = Resolved(
            name="cal", version=version, digest="d", revoked="trueband.revoked" in tags, tags=tags
        )
        self.trace.seen(URI, resolved if version else None, self.registry)

    def told(self) -> list[tuple[str, str, str, str]]:
        events = [each for each in self.journal.records if isinstance(each, Governance)]
        return [(each.kind, each.from_, each.to, each.by) for each in events]


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def journal():
    return services.bare().journal


@pytest.fixture
def life(tmp_path, registry, journal) -> Life:
    return Life(tmp_path / "seen.json", registry, journal)


def test_a_promotion_is_told_with_who_why_when_and_on_which_evidence(life, registry) -> None:
    registry.by_hand("1")
    life.look()
    life.look()
    assert life.told() == []
    registry.move("2", kind="retrain", evidence="run-7")
    life.look()
    life.look()
    [event] = life.journal.records
    assert (event.kind, event.subject, event.from_, event.to) == ("RETRAINED", "cal@champion", "1", "2")
    assert (event.by, event.reason, event.evidence) == ("ada", "retrain 2", "run-7")
    assert (event.happened_at, event.seen_at, event.sidecar_id) == (1001.0, 2000.0, "sidecar-a")
    assert life.journal.batches[0][1], "it is on the disk"


def test_the_first_version_ever_is_a_promotion_from_nothing(life, registry) -> None:
    life.look()
    registry.move("1", kind="publish")
    life.look()
    assert life.told() == [("PROMOTED", "", "1", "ada")]


def test_a_move_by_hand_is_told_as_one_and_so_is_an_alias_that_goes(life, registry) -> None:
    registry.move("1")
    life.look()
    registry.by_hand("2")
    life.look()
    registry.at = ""
    life.look()
    registry.by_hand("2")
    life.look()
    assert life.told()[1:] == [
        ("MOVED_BY_HAND", "1", "2", "unknown"),
        ("MOVED_BY_HAND", "2", "", "unknown"),
        ("MOVED_BY_HAND", "", "2", "unknown"),
    ]


def test_a_move_by_hand_to_where_somebody_once_promoted_is_not_signed_by_them(life, registry) -> None:
    registry.move("1")
    life.look()
    registry.move("2")
    life.look()
    registry.by_hand("1")
    life.look()
    assert life.told()[-1] == ("MOVED_BY_HAND", "2", "1", "unknown")


def test_a_rollback_tells_who_revoked_though_the_mark_comes_later(life, registry) -> None:
    registry.move("1")
    registry.move("2")
    life.look()
    registry.move("1", kind="rollback")
    life.look()
    assert life.told()[-1] == ("ROLLED_BACK", "2", "1", "ada")
    life.look()
    registry.versions["2"]["trueband.revoked"] = json.dumps({"by": "grace", "reason": "worse", "time": "x"})
    life.look()
    life.look()
    assert life.told()[-1] == ("REVOKED", "", "2", "grace")
    assert life.journal.records[-1].subject == "cal"
    asked = len(registry.asked)
    life.look()
    assert len(registry.asked) == asked, "nothing is looked for any more"


def test_a_mark_that_never_comes_is_not_looked_for_for_ever(life, registry) -> None:
    registry.move("1")
    registry.move("2")
    life.look()
    registry.move("1", kind="rollback")
    for _ in range(20):
        life.look()
    assert 1 <= registry.asked.count("2") <= 8


@pytest.mark.parametrize("mark", ["by hand", "", "[]", '{"by": 3, "reason": "x"}'])
def test_a_mark_that_nobody_signed_is_unknown(life, registry, mark: str) -> None:
    registry.by_hand("1")
    registry.versions["1"]["trueband.revoked"] = mark
    life.look()
    life.look()
    assert life.told() == [("REVOKED", "", "1", "unknown")]
    assert life.journal.records[0].reason == mark


def test_a_move_that_is_under_way_is_waited_for(life, registry) -> None:
    registry.by_hand("1")
    life.look()
    registry.begin("2")
    life.look()
    life.now += UNFINISHED_SECONDS / 2
    life.look()
    assert life.told() == []
    registry.finish()
    life.look()
    assert life.told() == [("PROMOTED", "1", "2", "ada")]


def test_a_move_that_was_never_finished_is_unsigned_and_says_who_began_it(life, registry) -> None:
    registry.by_hand("1")
    life.look()
    registry.begin("2")
    life.look()
    life.now += UNFINISHED_SECONDS + 1
    life.look()
    assert life.told() == [("MOVED_BY_HAND", "1", "2", "unknown")]
    assert "ada began this move" in life.journal.records[0].reason
    life.look()
    assert len(life.told()) == 1


def test_moves_between_two_looks_are_all_told(life, registry) -> None:
    registry.move("1")
    life.look()
    for version in ("2", "3", "4"):
        registry.move(version)
    registry.by_hand("9")
    registry.move("5")
    life.look()
    assert [each[:3] for each in life.told()[1:]] == [
        ("PROMOTED", "1", "2"),
        ("PROMOTED", "2", "3"),
        ("PROMOTED", "3", "4"),
        ("MOVED_BY_HAND", "4", "9"),
        ("PROMOTED", "9", "5"),
    ]


def test_there_and_back_between_two_looks_is_told(life, registry) -> None:
    registry.move("1")
    life.look()
    registry.move("2")
    registry.move("1", kind="rollback")
    life.look()
    assert [each[:3] for each in life.told()[1:]] == [("PROMOTED", "1", "2"), ("ROLLED_BACK", "2", "1")]


def test_a_restart_sees_what_happened_meanwhile(tmp_path, life, registry, journal) -> None:
    registry.move("1")
    life.look()
    registry.move("2")
    again = Life(tmp_path / "seen.json", registry, journal)
    again.look()
    assert [each[:3] for each in again.told()] == [("PROMOTED", "", "1"), ("PROMOTED", "1", "2")]


def test_a_lost_disk_tells_the_same_events_again(tmp_path, life, registry, journal) -> None:
    registry.move("1")
    life.look()
    registry.move("2")
    life.look()
    Life(tmp_path / "other.json", registry, journal, name="sidecar-b").look()
    first, second, again = life.journal.records
    assert again.event_id == second.event_id != first.event_id


def test_what_two_sidecars_see_has_one_id_and_what_happens_twice_has_two(
    tmp_path, life, registry, journal
) -> None:
    other = Life(tmp_path / "other.json", registry, journal, name="sidecar-b", now=2005.0)
    for target in ("1", "2", "1", "2"):
        registry.by_hand(target)
        life.look()
        other.look()
    ids = {"sidecar-a": [], "sidecar-b": []}
    for event in journal.records:
        ids[event.sidecar_id].append(event.event_id)
    assert ids["sidecar-a"] == ids["sidecar-b"]
    assert len(set(ids["sidecar-a"])) == 3


def test_a_refused_version_is_told_once_with_the_reason(life) -> None:
    resolved = Resolved(name="cal", version="3", digest="d")
    refusal = CalibratorRefused("shifts from 60 % to 10 %", code="CALIBRATOR_SHIFTS_ROUTING")
    for _ in range(3):
        life.trace.refused(Resolved(name="cal", version="2"), Fetch(resolved=resolved, refusal=refusal))
    [event] = life.journal.records
    assert (event.kind, event.subject, event.from_, event.to) == ("ADMISSION_REFUSED", "cal", "2", "3")
    assert event.reason == "[CALIBRATOR_SHIFTS_ROUTING] shifts from 60 % to 10 %"
    assert event.by == "sidecar sidecar-a"
    revoked = dataclasses.replace(resolved, revoked=True)
    life.trace.refused(None, Fetch(resolved=revoked, refusal=refusal))
    assert len(life.journal.records) == 1


def test_what_was_withdrawn_is_told_as_revoked(life, registry) -> None:
    registry.versions["7"] = {"trueband.revoked": json.dumps({"by": "grace", "reason": "worse"})}
    life.trace.withdrawn(Resolved(name="cal", version="7"), registry)
    assert life.told() == [("REVOKED", "", "7", "grace")]


def test_files_and_fixed_versions_have_no_alias(life, registry) -> None:
    life.trace.seen("file:x.json", Resolved(name="x.json", content="sha256:1"), registry)
    life.trace.seen("models:/cal/3", Resolved(name="cal", version="3"), registry)
    life.trace.seen("models:/cal/4", Resolved(name="cal", version="4"), registry)
    assert life.told() == []


def test_absurd_texts_are_cut(life, registry) -> None:
    registry.by_hand("1")
    life.look()
    registry.move("2", by="b" * 1000, reason="r" * 10_000, evidence="e" * 1000)
    life.look()
    [event] = life.journal.records
    assert (len(event.by), len(event.reason), len(event.evidence)) == (256, 4096, 256)


# Policies.


def in_force(text: str = POLICY, floors: str | None = None):
    given = None if floors is None else floors_file.parse(floors, name="floors")
    return policy_file.admit(loading.parse(text), given, since=0.0)


def test_a_first_start_changes_nothing_and_another_policy_is_told(life) -> None:
    first, second = in_force(), in_force(POLICY + "label_window: 1d\n")
    for each in (first, first, second, second):
        life.log.policy(each)
    [event] = life.journal.records
    assert (event.kind, event.subject, event.by) == ("POLICY_CHANGED", "policy", "unknown")
    assert (event.from_, event.to) == (first.loaded.digest, second.loaded.digest)


def test_floors_come_change_and_go(life) -> None:
    first, second = in_force(floors=FLOORS), in_force(floors=FLOORS.replace("refunds", "loans"))
    for each in (in_force(), first, second, in_force()):
        life.log.policy(each)
    assert [(each.kind, each.from_, each.to) for each in life.journal.records] == [
        ("FLOORS_CHANGED", "", first.floors_digest),
        ("FLOORS_CHANGED", first.floors_digest, second.floors_digest),
        ("FLOORS_CHANGED", second.floors_digest, ""),
    ]


def test_a_policy_that_changed_while_nobody_ran_is_told_at_the_next_start(
    tmp_path, life, registry, journal
) -> None:
    life.log.policy(in_force())
    Life(tmp_path / "seen.json", registry, journal).log.policy(in_force(POLICY + "label_window: 1d\n"))
    assert [each.kind for each in journal.records] == ["POLICY_CHANGED"]


# What can go wrong.


def test_what_the_journal_cannot_take_goes_with_the_next_event_or_the_next_life(
    tmp_path, life, registry, journal
) -> None:
    registry.by_hand("1")
    life.look()
    journal.break_down()
    registry.move("2")
    life.look()
    journal.failure = None
    registry.move("3")
    life.look()
    assert [each[:3] for each in life.told()] == [("PROMOTED", "1", "2"), ("PROMOTED", "2", "3")]
    journal.break_down()
    registry.move("4")
    life.look()
    journal.failure = None
    Life(tmp_path / "seen.json", registry, journal).look()
    assert life.told()[-1][:3] == ("PROMOTED", "3", "4")


def test_a_disk_that_keeps_nothing_stops_nothing(tmp_path, registry, journal, caplog) -> None:
    life = Life(tmp_path / "missing" / "seen.json", registry, journal)
    registry.move("1")
    life.look()
    registry.move("2")
    life.look()
    assert [each[:3] for each in life.told()] == [("PROMOTED", "", "1"), ("PROMOTED", "1", "2")]
    assert "governance_not_kept" in caplog.messages


@pytest.mark.parametrize("text", ["", "{", "[]", '{"places": {"a": 3}}', '{"policy": 7}'])
def test_a_damaged_file_is_as_good_as_none(tmp_path, text: str) -> None:
    path = tmp_path / "seen.json"
    path.write_text(text)
    assert governance.read_last_seen(path) == governance.LastSeen()


def test_the_file_is_read_back_and_nobody_elses(tmp_path) -> None:
    path = tmp_path / "seen.json"
    seen = governance.LastSeen(policy="sha256:p", places={"cal@champion": Place(version="3", move="k")})
    governance.write_last_seen(path, seen)
    assert governance.read_last_seen(path) == seen
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["seen.json"]

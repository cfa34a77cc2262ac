"""The brake acts at once, is durable before it answers, survives, spreads, and is lifted by name alone."""

import json
import threading

import pytest

from sidecar import errors
from sidecar.decision import suspensions
from sidecar.decision.suspensions import Resumption, Scope, Suspension, Suspensions
from sidecar.ledger import governance, intake
from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from sidecar.policy.actions import AnswerSource, Reason
from sidecar.policy.tables import compile_policy
from sidecar.service.in_force import brake
from sidecar.service.in_force.brake import MOST_ACTIVE, Brake

TABLES = compile_policy(
    loading.parse(
        "version: 1\nmodels: {leads: {calibrator: models:/c@champion, evidence: score, categories: {general: {}}}}"
    ).policy
)
NOBODY = "f" * 32


class Journal:
    """Hands what it keeps to a ledger when told to, as a forwarder does."""

    def __init__(self, ledger=None):
        self.records, self.durable, self.failure, self.ledger, self.forwarded = [], [], None, ledger, 0
        self.at_append = lambda: None

    def append(self, records, *, durable):
        if self.failure is not None:
            raise self.failure
        self.at_append()
        self.records += records
        self.durable.append(durable)

    def forward(self):
        self.ledger.write(intake.take_in, self.records[self.forwarded :])
        self.forwarded = len(self.records)


class Sidecar:
    """A brake over a folder of its own, and maybe a ledger that it shares."""

    def __init__(self, folder, ledger=None, name="s1"):
        folder.mkdir(exist_ok=True)
        self.path, self.name, self.ledger = folder / "suspensions.json", name, ledger
        self.journal, self.now, self.away = Journal(ledger), 1000.0, False
        self.start()

    def start(self):
        self.brake = Brake(
            self.path,
            sidecar_id=self.name,
            journal=self.journal,
            tables=lambda: TABLES,
            ledger_events=self.events,
            poll_seconds=0.01,
            clock=lambda: self.now,
            max_age_seconds=3600.0,
        )

    def events(self, held):
        if self.away or self.ledger is None:
            raise errors.LedgerUnavailable("nobody is there")
        return self.ledger.read(governance.suspensions, held)

    def suspend(self, explanation="a complaint", by="ada", **scope):
        self.now += 1
        return self.brake.suspend(Scope(**scope), explanation=explanation, suspended_by=by)

    def resume(self, suspension_id, explanation="looked at", by="bob"):
        self.now += 1
        return self.brake.resume(suspension_id, explanation=explanation, resumed_by=by)

    @property
    def ids(self):
        return [each.suspension_id for each in self.brake.active]


@pytest.fixture
def sidecar(tmp_path):
    return Sidecar(tmp_path / "one")


@pytest.fixture
def fleet(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.migrate()
        yield Sidecar(tmp_path / "one", ledger, "s1"), Sidecar(tmp_path / "two", ledger, "s2")


def test_a_suspension_is_in_the_journal_first_then_in_the_file_then_in_force(sidecar):
    seen = []
    sidecar.journal.at_append = lambda: seen.append((sidecar.path.exists(), sidecar.brake.active))
    made = sidecar.suspend(model="leads", band="auto", tenant="")
    assert seen == [(False, ())]
    assert sidecar.journal.records == [made]
    assert sidecar.journal.durable == [True]
    assert sidecar.brake.active == (made,)
    assert made == Suspension(
        suspension_id=made.suspension_id,
        scope=Scope(tenant="", model="leads", band="auto"),
        explanation="a complaint",
        suspended_by="ada",
        suspended_at=1001.0,
        sidecar_id="s1",
    )
    assert len(made.suspension_id) == 32
    assert made.suspension_id[12] == "7"
    assert suspensions.hits(
        sidecar.brake.active,
        tenant="",
        model="leads",
        model_version="",
        band="auto",
        category="general",
        source=AnswerSource.PRIMARY,
    )


def test_the_tuple_that_a_decision_has_read_does_not_change_under_it(sidecar):
    before = sidecar.brake.active
    sidecar.suspend(model="leads")
    assert before == ()
    assert len(sidecar.brake.active) == 1


def test_what_is_suspended_survives_a_restart_without_a_ledger(sidecar):
    first, second = sidecar.suspend(model="leads"), sidecar.suspend(band="auto")
    sidecar.resume(first.suspension_id)
    sidecar.start()
    assert sidecar.brake.active == (second,)
    sidecar.resume(second.suspension_id)
    sidecar.start()
    assert sidecar.brake.active == ()
    assert sidecar.path.stat().st_mode & 0o777 == 0o600


def test_resume_lifts_its_own_and_gives_what_it_was(sidecar):
    first, second = sidecar.suspend(model="leads"), sidecar.suspend(model="leads")
    assert sidecar.resume(first.suspension_id, by="  bob ") == first
    assert sidecar.brake.active == (second,)
    lifted = sidecar.journal.records[-1]
    assert lifted == Resumption(
        suspension_id=first.suspension_id,
        explanation="looked at",
        resumed_by="bob",
        resumed_at=sidecar.now,
        sidecar_id="s1",
    )
    with pytest.raises(errors.NotFound, match="bob has lifted it"):
        sidecar.resume(first.suspension_id)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"explanation": "  "}, "explanation"),
        ({"explanation": "x" * 4097}, "explanation"),
        ({"explanation": "a\0b"}, "explanation"),
        ({"by": ""}, "suspended_by"),
        ({"by": "x" * 257}, "suspended_by"),
        ({"model": "lead"}, "scope.model"),
        ({"model": "leads", "band": "top"}, "scope.band"),
        ({"model": "leads", "category": "unheard of"}, "scope.category"),
        ({"tenant": "x" * 300}, "scope.tenant"),
        ({"category": "\u200b"}, "scope.category"),
    ],
)
def test_a_suspension_that_says_too_little_or_binds_nothing_is_refused(sidecar, change, field):
    with pytest.raises(errors.InvalidRequest) as caught:
        sidecar.suspend(**change)
    assert [item.field for item in caught.value.violations] == [field]
    assert sidecar.brake.active == ()
    assert sidecar.journal.records == []
    assert not sidecar.path.exists()


def test_every_mistake_is_named_at_once(sidecar):
    with pytest.raises(errors.InvalidRequest) as caught:
        sidecar.suspend("", by="", tenant="\0")
    fields = {item.field for item in caught.value.violations}
    assert fields == {"explanation", "suspended_by", "scope.tenant"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"explanation": ""}, "explanation"),
        ({"by": " "}, "resumed_by"),
        ({"suspension_id": "x"}, "suspension_id"),
        ({"suspension_id": ""}, "suspension_id"),
        ({"suspension_id": "A" * 32}, "suspension_id"),
    ],
)
def test_a_lifting_without_a_name_a_reason_or_an_id_is_refused(sidecar, change, field):
    made = sidecar.suspend(model="leads")
    with pytest.raises(errors.InvalidRequest) as caught:
        sidecar.resume(**({"suspension_id": made.suspension_id} | change))
    assert [item.field for item in caught.value.violations] == [field]
    assert sidecar.brake.active == (made,)


def test_what_is_not_suspended_cannot_be_lifted(sidecar):
    with pytest.raises(errors.NotFound, match="not in force here"):
        sidecar.resume(NOBODY)
    assert sidecar.journal.records == []


def test_the_category_is_taken_in_its_normal_form(sidecar):
    assert sidecar.suspend(category=" Legal-Language ").scope.category == "legal_language"


def test_what_the_journal_cannot_take_changes_nothing(sidecar):
    made = sidecar.suspend(model="leads")
    body = sidecar.path.read_bytes()
    sidecar.journal.failure = errors.JournalUnavailable("the disk is full")
    with pytest.raises(errors.JournalUnavailable):
        sidecar.suspend(band="auto")
    with pytest.raises(errors.JournalUnavailable):
        sidecar.resume(made.suspension_id)
    assert sidecar.brake.active == (made,)
    assert sidecar.path.read_bytes() == body


def test_nothing_acts_before_the_ledger_has_said_what_is_suspended(fleet):
    first, _ = fleet
    first.away = True
    assert not first.brake.known
    assert first.brake.binding() == (suspensions.UNKNOWN,)
    made = first.suspend(model="leads")
    with pytest.raises(errors.LedgerUnavailable):
        first.brake.look()
    assert first.brake.binding() == (suspensions.UNKNOWN, made)
    (hit, _) = suspensions.hits(
        first.brake.binding(),
        tenant="t",
        model="leads",
        model_version="7",
        band="auto",
        category="general",
        source=AnswerSource.RULES,
    )
    assert hit.reason is Reason.SUSPENSIONS_UNKNOWN
    first.start()
    assert not first.brake.known, "its own file is no word of the ledger's"
    first.away = False
    first.brake.look()
    assert first.brake.binding() == (made,)


@pytest.mark.parametrize(("later", "known"), [(0.0, True), (3600.0, True), (3601.0, False), (-3700.0, False)])
def test_what_the_data_folder_last_knew_is_enough_for_a_while(fleet, later, known):
    first, _ = fleet
    first.brake.look()
    first.away = True
    first.now += later
    assert first.brake.known, "a look of its own is enough"
    first.start()
    assert first.brake.known is known
    assert first.brake.confirmed_at == 1000.0
    if known:
        first.now += 7200.0
        assert not first.brake.known, "the budget is spent while the ledger stays away"


def test_the_moment_of_the_last_look_is_written_once_a_minute(fleet):
    first, _ = fleet
    for seconds, written in ((0.0, 1000.0), (59.0, 1000.0), (1.0, 1060.0)):
        first.now += seconds
        first.brake.look()
        assert brake.read_suspensions(first.path)[1] == written
        assert first.brake.confirmed_at == first.now


def unwritable(monkeypatch):
    def refuse(path, known, *, confirmed_at):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(brake, "write_suspensions", refuse)


def test_without_its_file_a_suspension_binds_and_says_that_it_may_not_survive(sidecar, monkeypatch):
    with monkeypatch.context() as patch:
        unwritable(patch)
        with pytest.raises(errors.SuspensionsNotKept, match="in force and in the journal"):
            sidecar.suspend(model="leads")
        (made,) = sidecar.journal.records
        assert sidecar.brake.active == (made,)
    other = sidecar.suspend(band="auto")  # the disk has room again: both are written
    sidecar.start()
    assert set(sidecar.brake.active) == {made, other}


def test_without_its_file_nothing_is_lifted(sidecar, monkeypatch):
    made = sidecar.suspend(model="leads")
    with monkeypatch.context() as patch:
        unwritable(patch)
        with pytest.raises(errors.SuspensionsNotKept, match="stays in force"):
            sidecar.resume(made.suspension_id)
        assert sidecar.brake.active == (made,)
        assert isinstance(sidecar.journal.records[-1], Resumption)
    sidecar.resume(made.suspension_id)
    assert sidecar.brake.active == ()


def test_what_could_not_be_written_is_written_at_the_next_look(fleet, monkeypatch):
    first, _ = fleet
    made = first.suspend(model="leads")
    with monkeypatch.context() as patch:
        unwritable(patch)
        with pytest.raises(errors.SuspensionsNotKept):
            first.resume(made.suspension_id)
    first.brake.look()
    assert first.brake.active == ()
    first.start()
    assert first.brake.active == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"version":1,"events":[{"type":"suspended"}]}',
        b'{"version":1,"events":[{"type":"decision"}]}',
        b'{"version":2,"events":[]}',
        b'{"version":1,"events":[],"more":1}',
    ],
)
def test_a_file_that_cannot_be_understood_keeps_it_from_starting(sidecar, body):
    sidecar.path.write_bytes(body)
    with pytest.raises(errors.SuspensionsUnreadable) as caught:
        sidecar.start()
    assert str(sidecar.path) in str(caught.value)
    assert "restore the file" in str(caught.value)
    assert sidecar.path.read_bytes() == body, "left for whoever restores it"


def test_a_truncated_file_is_not_taken_for_an_empty_one(sidecar):
    sidecar.suspend(model="leads")
    body = sidecar.path.read_bytes()
    for length in range(len(body)):
        sidecar.path.write_bytes(body[:length])
        with pytest.raises(errors.SuspensionsUnreadable):
            sidecar.start()


def test_a_file_that_may_not_be_read_keeps_it_from_starting(sidecar):
    sidecar.path.mkdir()
    with pytest.raises(errors.SuspensionsUnreadable, match="directory"):
        sidecar.start()


def test_what_an_interrupted_write_left_is_no_file(sidecar):
    made = sidecar.suspend(model="leads")
    sidecar.path.with_name("suspensions.json.tmp").write_bytes(b"half")
    sidecar.start()
    assert sidecar.brake.active == (made,)
    other = sidecar.suspend(band="auto")
    sidecar.start()
    assert sidecar.brake.active == (other, made)


def test_a_kept_file_has_every_event(sidecar):
    made = sidecar.suspend(tenant="", source=AnswerSource.SECONDARY)
    sidecar.resume(made.suspension_id)
    content = json.loads(sidecar.path.read_text(encoding="utf-8"))
    assert [event["type"] for event in content["events"]] == ["suspended", "resumed"]
    assert content["events"][0]["scope"] == {"tenant": "", "source": "SECONDARY"}
    assert brake.read_suspensions(sidecar.path)[0] == suspensions.merge(
        Suspensions(), sidecar.journal.records
    )


def test_the_other_sidecar_hears_of_it_over_the_ledger(fleet):
    first, second = fleet
    made = first.suspend(model="leads", band="auto")
    second.brake.look()
    assert second.brake.active == ()
    first.journal.forward()
    second.brake.look()
    assert second.brake.active == (made,)
    second.start()
    assert second.brake.active == (made,), "from its own file"

    assert second.resume(made.suspension_id) == made
    first.brake.look()
    assert first.brake.active == (made,)
    second.journal.forward()
    first.brake.look()
    assert first.brake.active == ()
    first.start()
    assert first.brake.active == ()


def test_a_sidecar_on_a_fresh_disk_learns_from_the_ledger_before_it_serves(fleet, tmp_path):
    first, _ = fleet
    made = first.suspend(model="leads")
    first.journal.forward()
    fresh = Sidecar(tmp_path / "three", first.ledger, "s3")
    fresh.brake.start(30.0)
    try:
        assert fresh.brake.active == (made,)
    finally:
        fresh.brake.stop()


def test_a_lifting_that_the_ledger_does_not_have_yet_is_not_undone_by_it(fleet):
    first, _ = fleet
    made = first.suspend(model="leads")
    first.journal.forward()
    first.resume(made.suspension_id)
    first.brake.look()  # the ledger still says suspended
    assert first.brake.active == ()
    first.start()
    first.brake.look()
    assert first.brake.active == ()


def test_a_ledger_that_is_away_changes_nothing(fleet):
    first, _ = fleet
    made = first.suspend(model="leads")
    first.away = True
    with pytest.raises(errors.LedgerUnavailable):
        first.brake.look()
    assert first.brake.active == (made,)
    first.brake.start(30.0)  # returns once the look has failed
    assert "nobody is there" in first.brake.last_error
    first.resume(made.suspension_id)
    assert first.brake.active == ()
    first.brake.stop()


def test_the_watch_follows_the_ledger_by_itself(fleet):
    first, second = fleet
    second.away = True
    second.brake.start(30.0)
    seen = threading.Event()
    look = second.brake.look

    def looked():
        look()
        if second.brake.active:
            seen.set()

    second.brake.look = looked
    try:
        made = first.suspend(model="leads")
        first.journal.forward()
        second.away = False
        assert seen.wait(60)
        assert second.brake.active == (made,)
    finally:
        second.brake.stop()
    assert not second.brake._thread.is_alive()


def test_the_watch_outlives_surprises(fleet, caplog):
    first, _ = fleet
    events, asked = first.events, []

    def surprise(held):
        asked.append(held)
        if len(asked) == 1:
            raise RuntimeError("a surprise")
        return events(held)

    first.brake._ledger_events = surprise
    first.brake.start(30.0)
    deadline = threading.Event()
    while len(asked) < 3 and first.brake._thread.is_alive():
        deadline.wait(0.01)
    first.brake.stop()
    assert len(asked) >= 3
    assert any(record.message == "brake_look_failed" for record in caplog.records)


def test_a_suspension_that_binds_nothing_any_more_is_said_at_the_start(sidecar, caplog, tmp_path):
    gone = Suspension(
        suspension_id=NOBODY,
        scope=Scope(model="gone"),
        explanation="why",
        suspended_by="ada",
        suspended_at=1.0,
        sidecar_id="s1",
    )
    brake.write_suspensions(sidecar.path, suspensions.merge(Suspensions(), [gone]))
    sidecar.start()
    sidecar.brake.start(30.0)
    sidecar.brake.stop()
    (record,) = [each for each in caplog.records if each.message == "suspension_binds_nothing"]
    assert record.fields["suspension"] == NOBODY
    assert "gone" in record.fields["cause"]


def test_many_at_once_are_all_kept(sidecar):
    made, failures = [], []

    def pull(number):
        try:
            made.append(sidecar.brake.suspend(Scope(tenant=str(number)), explanation="e", suspended_by="ada"))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=pull, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(sidecar.brake.active) == set(made)
    sidecar.start()
    assert set(sidecar.brake.active) == set(made)


def test_the_number_in_force_is_bounded(sidecar):
    many = [
        Suspension(
            suspension_id=f"{number:032x}",
            scope=Scope(tenant=str(number)),
            explanation="e",
            suspended_by="ada",
            suspended_at=float(number),
            sidecar_id="s1",
        )
        for number in range(MOST_ACTIVE)
    ]
    brake.write_suspensions(sidecar.path, suspensions.merge(Suspensions(), many))
    sidecar.start()
    with pytest.raises(errors.InvalidRequest, match="wider"):
        sidecar.suspend(model="leads")
    sidecar.resume(many[0].suspension_id)
    assert sidecar.suspend(model="leads") in sidecar.brake.active

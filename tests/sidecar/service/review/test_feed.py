"""The feed of outcomes: in the order of commits, complete, by tenant and by who may see it."""

import threading

from sidecar.ledger import outcomes
from sidecar.policy.actions import TaskKind


def read(desk, *, tenant="", principal=None, count=2):
    found, after = [], 0
    while True:
        page = desk.ledger.read(outcomes.feed, tenant=tenant, principal=principal, after=after, count=count)
        if not page:
            return found
        assert len(page) <= count
        assert [each.sequence for each in page] == sorted({each.sequence for each in page})
        assert page[0].sequence > after
        found += [each.outcome.decision_id for each in page]
        after = page[-1].sequence


def end(desk, who, *decision_ids):
    for held in desk.lease(who, count=100):
        if not decision_ids or held.task.decision_id in decision_ids:
            desk.complete(who, held, "INCORRECT")


def test_it_has_every_outcome_once_oldest_first(desk, make_person):
    expected = []
    for number in range(5):
        expected.append(desk.open(TaskKind.BATCH if number % 2 else TaskKind.HOLD))
        end(desk, make_person("ada"))
    assert read(desk) == expected


def test_it_is_by_tenant_and_by_who_asked(desk, make_person):
    one = desk.open(tenant="t", principal="crm")
    two = desk.open(tenant="t", principal="shop")
    three = desk.open(principal="crm")
    end(desk, make_person("ada"))
    assert set(read(desk, tenant="t")) == {one, two}
    assert read(desk) == [three]
    assert read(desk, tenant="t", principal="crm") == [one]
    assert read(desk, tenant="t", principal="nobody") == []


def test_a_reader_beside_writers_misses_nothing(desk, make_person, make_desk):
    """Numbers are in the order of commits: what a reader has not seen yet never gets a smaller one."""
    count, writers = 24, 3
    for _ in range(count):
        desk.open()
    desks = [make_desk(desk.url) for _ in range(writers)]

    def work(number):
        who = make_person(f"reviewer-{number}")
        while held := desks[number].lease(who):
            desks[number].complete(who, held[0])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    seen, after = [], 0
    while len(seen) < count:
        for each in desk.ledger.read(outcomes.feed, tenant="", principal=None, after=after, count=5):
            assert each.sequence == after + 1
            after = each.sequence
            seen.append(each.outcome.decision_id)
    for thread in threads:
        thread.join()
    for each in desks:
        each.ledger.close()
    assert len(set(seen)) == count

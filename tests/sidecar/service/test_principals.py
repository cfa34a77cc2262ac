"""Who calls: the principals file, tokens, and the roles that each method asks for."""

import hashlib
import json

import pytest
from trueband.v1 import admin_pb2, decision_pb2, label_pb2, review_pb2, routing_pb2

from sidecar import errors
from sidecar.service import principals
from sidecar.service.api import permissions, security
from sidecar.service.principals import ANONYMOUS, Principal, PrincipalsFile, Role


def entry(name="ada", token="secret", **changes):
    digest = hashlib.sha256(token.encode()).hexdigest()
    return {"name": name, "kind": "person", "roles": ["reviewer"], "token_sha256": digest} | changes


def text(*entries):
    return json.dumps({"principals": list(entries)})


def test_a_token_tells_principals_apart():
    known = principals.parse(
        "principals:\n"
        f"- {{name: ada, kind: person, roles: [reviewer, lead], token_sha256: {entry()['token_sha256']}}}\n"
        f"- {{name: crm, kind: service, roles: [caller], token_sha256: {entry(token='other')['token_sha256']}}}\n"
    )
    ada, crm = known.find("secret"), known.find("other")
    assert ada == Principal(name="ada", is_person=True, roles=frozenset({Role.REVIEWER, Role.LEAD}))
    assert crm == Principal(name="crm", is_person=False, roles=frozenset({Role.CALLER}))
    for wrong in ("", "Secret", "secret ", "secre", entry()["token_sha256"], "sécret", "\ud800"):
        assert known.find(wrong) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "whole file"),
        ("[]", "whole file"),
        ("principals: []", "principals"),
        ("principals: {", "not YAML"),
        ("people: []", "people"),
        (text(entry(kind="robot")), "principals.0.kind"),
        (text(entry(roles=[])), "principals.0.roles"),
        (text(entry(roles=["king"])), "principals.0.roles.0"),
        (text(entry(name="")), "principals.0.name"),
        (text(entry(name="a b")), "principals.0.name"),
        (text(entry(name="anonymous")), "kept for calls without"),
        (text(entry(token_sha256="secret")), "principals.0.token_sha256"),
        (text(entry() | {"token": "secret"}), "principals.0.token"),
        (text(entry(), entry(token="x")), "same name"),
        (text(entry(), entry(name="bob")), "same token_sha256"),
    ],
)
def test_a_mistake_in_the_file_is_named_and_no_token_told(content, says):
    with pytest.raises(errors.SettingsRefused) as caught:
        principals.parse(content)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)
    assert entry()["token_sha256"] not in str(caught.value)


def test_the_file_is_read_again_and_a_bad_change_refused(tmp_path, caplog):
    path, now = tmp_path / "principals.yaml", [0.0]
    path.write_text(text(entry()))
    known = PrincipalsFile(path, monotonic=lambda: now[0])
    assert known.find("secret").name == "ada"
    path.write_text(text(entry(name="bob", token="new")))
    assert known.find("new") is None, "within two seconds nobody looks"
    now[0] = 2.0
    assert known.find("new").name == "bob"
    assert known.find("secret") is None, "a token that was taken away is dead"
    for bad in ("principals: []", "\udcff"):
        path.write_bytes(bad.encode(errors="surrogateescape"))
        now[0] += 2.0
        assert known.find("new").name == "bob"
    path.unlink()
    now[0] += 2.0
    assert known.find("new").name == "bob"
    assert [record.getMessage() for record in caplog.records] == ["principals_refused"] * 3


@pytest.mark.parametrize("content", ["", "principals: []"])
def test_a_bad_file_at_the_start_is_refused(tmp_path, content):
    if content:
        (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(errors.SettingsRefused, match=r"p\.yaml"):
        PrincipalsFile(tmp_path / "p.yaml")


KNOWN = principals.parse(text(entry()))


@pytest.mark.parametrize("value", ["Bearer secret", "bearer secret", "BEARER  secret "])
def test_a_bearer_token_is_taken(value):
    assert security.authenticate([("user-agent", "x"), ("authorization", value)], KNOWN).name == "ada"


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "secret")],
        [("authorization", "Basic secret")],
        [("authorization", "Bearer wrong")],
        [("authorization", "Bearer ")],
        [("authorization", b"Bearer secret")],
        [("authorization", "Bearer secret"), ("authorization", "Bearer secret")],
        [("authorization-bin", b"Bearer secret")],
    ],
)
def test_anything_else_is_unauthenticated_with_the_same_words(metadata):
    with pytest.raises(errors.Unauthenticated) as caught:
        security.authenticate(metadata, KNOWN)
    assert str(caught.value) == str(errors.Unauthenticated())


def methods():
    for module in (admin_pb2, decision_pb2, label_pb2, review_pb2, routing_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}"


def test_every_method_of_the_contract_asks_for_a_role():
    assert {method.rpartition(".")[2] for method in methods()} == set(permissions.ROLES)
    assert all(permissions.roles_for(method) for method in methods())
    assert permissions.roles_for("/trueband.v1.ReviewService/NotYet") == frozenset()


@pytest.mark.parametrize("method", list(methods()))
def test_nobody_passes_without_the_role_and_the_anonymous_pass_everywhere(method):
    roles = permissions.roles_for(method)
    permissions.check(ANONYMOUS, method, roles)
    for role in Role:
        caller = Principal(name="x", is_person=True, roles=frozenset({role}))
        if role in roles:
            permissions.check(caller, method, roles)
        else:
            with pytest.raises(errors.NotPermitted, match="x may not call"):
                permissions.check(caller, method, roles)


def test_what_tells_of_draws_is_closed_to_callers_and_what_unblinds_to_reviewers():
    def may(role):
        caller = Principal(name="x", is_person=True, roles=frozenset({role}))
        return {name for name, roles in permissions.ROLES.items() if caller.has_any(roles)}

    assert may(Role.CALLER) == {
        "RoutingService/Route",
        "RoutingService/RouteBatch",
        "LabelService/RecordLabel",
        "LabelService/RecordLabels",
        "ReviewService/GetOutcome",
        "ReviewService/WatchDecision",
        "ReviewService/ListOutcomes",
        "DecisionService/GetDecision",
    }
    assert not {"DecisionService/GetDecision", "LabelService/GetLabels"} & may(Role.REVIEWER)


def test_only_a_person_is_a_person():
    with pytest.raises(errors.NotPermitted, match="TRUEBAND_PRINCIPALS"):
        permissions.require_person("lift a suspension")

"""Chains of a policy: connected beside those in force, swapped at once, kept where nothing changed."""

import ipaddress
from collections.abc import Callable, Iterator
from concurrent import futures
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from open_inference import model_infer_pb2 as pb
from open_inference import model_infer_pb2_grpc

from sidecar import errors
from sidecar.service.fallback.chain import Chain
from sidecar.service.fallback.connections import Connections
from sidecar.service.fallback.secondary import SecondaryModel
from sidecar.service.fallback.steps import Question

Entry = Callable[..., Any]
Describe = Callable[..., dict[str, Any]]
Ask = Callable[..., Question]
RULES = {"step": "rules", "rules": [{"name": "stop", "when": "true", "answer": "unsubscribe"}]}


@pytest.fixture
def connections(fake_clock: Callable[[], float]) -> Iterator[Connections]:
    made = Connections(clock=fake_clock)
    yield made
    made.close()


def secondary_of(chain: Chain) -> SecondaryModel:
    assert chain.steps is not None
    step = chain.steps["secondary"]
    assert isinstance(step, SecondaryModel)
    return step


def test_only_models_with_machine_steps_have_a_chain(connections: Connections, entry: Entry) -> None:
    assert connections.chains() == {}
    connections.put_in_force(connections.prepare({"lead": entry(RULES), "plain": entry({"step": "review"})}))
    assert set(connections.chains()) == {"lead"}
    (table,) = connections.chains()["lead"].tables
    assert (table.step, table.bands) == ("rules", None)


def test_a_prepared_chain_is_not_in_force_until_it_is_put_there(
    connections: Connections, entry: Entry
) -> None:
    before = connections.chains()
    prepared = connections.prepare({"lead": entry(RULES)})
    assert connections.chains() is before
    connections.put_in_force(prepared)
    assert "lead" in connections.chains()
    assert before == {}, "a snapshot that a request holds does not change under it"


def test_an_unchanged_secondary_keeps_its_connection_and_its_breaker(
    connections: Connections, entry: Entry, secondary: Describe, question: Ask, lying_server: Any
) -> None:
    described = secondary(lying_server.address, breaker={"failures": 1})
    connections.put_in_force(connections.prepare({"lead": entry(described)}))
    first = secondary_of(connections.chains()["lead"])
    lying_server.behaviour = lambda *_: pb.ModelInferResponse()
    assert first.attempt(question(), 5.0).outcome == "FAILED"
    assert connections.left_alone() == ("lead",)
    connections.put_in_force(connections.prepare({"lead": entry(RULES, described)}))
    assert secondary_of(connections.chains()["lead"]) is first
    assert connections.left_alone() == ("lead",)


def test_a_changed_secondary_is_connected_anew_and_the_old_one_closed(
    connections: Connections, entry: Entry, secondary: Describe, question: Ask, lying_server: Any
) -> None:
    connections.put_in_force(connections.prepare({"lead": entry(secondary(lying_server.address))}))
    first = secondary_of(connections.chains()["lead"])
    connections.put_in_force(
        connections.prepare({"lead": entry(secondary(lying_server.address, timeout="1s"))})
    )
    second = secondary_of(connections.chains()["lead"])
    assert second is not first
    assert second.attempt(question(), 5.0).outcome == "ANSWERED"
    assert first.attempt(question(), 5.0).code == "CANCELLED"


def test_what_was_given_up_is_closed_and_what_is_in_force_is_not(
    connections: Connections, entry: Entry, secondary: Describe, question: Ask, lying_server: Any
) -> None:
    described = secondary(lying_server.address)
    connections.put_in_force(connections.prepare({"lead": entry(described)}))
    prepared = connections.prepare({"lead": entry(described), "other": entry(described)})
    prepared.give_up()
    assert secondary_of(prepared.chains["other"]).attempt(question(), 5.0).code == "CANCELLED"
    assert secondary_of(connections.chains()["lead"]).attempt(question(), 5.0).outcome == "ANSWERED"


def test_a_unix_socket(
    connections: Connections, entry: Entry, secondary: Describe, question: Ask, tmp_path: Path
) -> None:
    described = secondary(f"unix:{tmp_path / 'nobody.sock'}")
    connections.put_in_force(connections.prepare({"lead": entry(described)}))
    attempt = secondary_of(connections.chains()["lead"]).attempt(question(), 5.0)
    assert (attempt.outcome, attempt.code) == ("FAILED", "UNAVAILABLE")


# --- TLS ---


class Authority:
    """A certificate authority on a disk of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        pytest.importorskip("cryptography", reason="makes the certificates of this test")
        from cryptography.hazmat.primitives.asymmetric import ec

        folder.mkdir()
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(name, self.key.public_key(), authority=True)
        self.ca = self._write("ca.pem", self.certificate)

    def issue(self, name: str) -> dict[str, str]:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        path = self.folder / f"{name}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        certificate = self._write(f"{name}.pem", self._sign(name, key.public_key(), authority=False))
        return {"certificate": certificate, "key": str(path)}

    def _write(self, name: str, certificate: Any) -> str:
        from cryptography.hazmat.primitives import serialization

        path = self.folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return str(path)

    def _sign(self, name: str, public_key: Any, *, authority: bool) -> Any:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = subject if authority else self.certificate.subject
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )


@pytest.fixture
def tls_server(tmp_path: Path, answer: Any) -> Iterator[tuple[str, Authority]]:
    """A secondary that talks TLS only and asks for the client's certificate."""
    authority = Authority(tmp_path / "authority", "ours")
    files = authority.issue("server")

    class Servicer(model_infer_pb2_grpc.GRPCInferenceServiceServicer):
        def ModelInfer(self, *_: Any) -> pb.ModelInferResponse:  # noqa: N802
            response: pb.ModelInferResponse = answer(0.05, 0.9, 0.05)
            return response

    pool = futures.ThreadPoolExecutor(2)
    server = grpc.server(pool)
    model_infer_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    credentials = grpc.ssl_server_credentials(
        [(Path(files["key"]).read_bytes(), Path(files["certificate"]).read_bytes())],
        root_certificates=Path(authority.ca).read_bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}", authority
    server.stop(0).wait()
    pool.shutdown()


def test_tls_both_ways(
    connections: Connections,
    entry: Entry,
    secondary: Describe,
    question: Ask,
    tls_server: tuple[str, Authority],
) -> None:
    address, authority = tls_server
    known = {"ca": authority.ca, **authority.issue("client")}
    connections.put_in_force(connections.prepare({"lead": entry(secondary(address, tls=known))}))
    assert secondary_of(connections.chains()["lead"]).attempt(question(), 5.0).outcome == "ANSWERED"


@pytest.mark.parametrize("missing", ["tls", "certificate", "ca"])
def test_without_what_tls_needs_there_is_no_answer(
    connections: Connections,
    entry: Entry,
    secondary: Describe,
    question: Ask,
    tls_server: tuple[str, Authority],
    missing: str,
) -> None:
    address, authority = tls_server
    known = {"ca": authority.ca, **authority.issue("client")}
    tls = {
        "tls": None,
        "certificate": {"ca": authority.ca},
        "ca": {key: path for key, path in known.items() if key != "ca"},
    }[missing]
    connections.put_in_force(connections.prepare({"lead": entry(secondary(address, tls=tls))}))
    attempt = secondary_of(connections.chains()["lead"]).attempt(question(), 5.0)
    assert (attempt.outcome, attempt.code) == ("FAILED", "UNAVAILABLE")


def test_renewed_tls_files_are_taken_over(
    connections: Connections,
    entry: Entry,
    secondary: Describe,
    question: Ask,
    tls_server: tuple[str, Authority],
    tmp_path: Path,
) -> None:
    address, authority = tls_server
    stranger = Authority(tmp_path / "stranger", "theirs")
    known = {"ca": stranger.ca, **authority.issue("client")}
    connections.put_in_force(connections.prepare({"lead": entry(secondary(address, tls=known))}))
    step = secondary_of(connections.chains()["lead"])
    assert step.attempt(question(), 5.0).code == "UNAVAILABLE"
    connections.refresh()
    assert step.attempt(question(), 5.0).code == "UNAVAILABLE", "nothing changed"
    Path(stranger.ca).unlink()
    connections.refresh()  # files that are just being replaced change nothing, and raise nothing
    Path(stranger.ca).write_bytes(Path(authority.ca).read_bytes())
    connections.refresh()
    assert step.attempt(question(), 5.0).outcome == "ANSWERED"


def test_a_tls_file_that_is_not_there_refuses_the_policy(
    connections: Connections, entry: Entry, secondary: Describe, lying_server: Any, tmp_path: Path
) -> None:
    good = entry(secondary(lying_server.address))
    connections.put_in_force(connections.prepare({"lead": good}))
    bad = entry(secondary("127.0.0.1:1", tls={"ca": str(tmp_path / "missing.pem")}))
    with pytest.raises(errors.PolicyRefused, match=r"missing\.pem: cannot be read"):
        connections.prepare({"fresh": good, "lead": bad})
    assert set(connections.chains()) == {"lead"}

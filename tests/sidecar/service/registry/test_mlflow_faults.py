"""The MLflow source and the watcher against a registry that lies, breaks and dawdles."""

import gzip
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import calibrators
from calibrators import Calibrator, CalibratorRefused
from sidecar.errors import RegistryFailure
from sidecar.service.registry import CalibratorSlot, Expectation, Resolved, mlflow_source, sources
from sidecar.service.registry.mlflow_source import MlflowSource

M = CalibratorSlot("m")
URI = "models:/cal@champion"
Make = Callable[..., Calibrator]
HANG_SECONDS = 6.0

pytestmark = pytest.mark.usefixtures("impatient", "mlflow_import")


@pytest.fixture(scope="session")
def mlflow_import() -> None:
    """MLflow, imported before anything is timed or waited for."""
    import mlflow  # noqa: F401


@pytest.fixture
def first(make_calibrator: Make) -> Calibrator:
    return make_calibrator()


@pytest.fixture
def lying(lying_registry, first: Calibrator):
    """A registry with version 3, which the alias names."""
    lying_registry.add("3", first)
    lying_registry.aliases["champion"] = "3"
    return lying_registry


@pytest.fixture
def source(lying) -> MlflowSource:
    return MlflowSource(name="cal", alias="champion", registry_uri=lying.address)


def hang(handler) -> None:
    time.sleep(HANG_SECONDS)


def close(handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def status(code: int, body: str = "", **headers: str) -> Callable[[object], None]:
    def fault(handler) -> None:
        handler.send_response(code)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return fault


HOST_REFUSED = status(403, "Invalid Host header - possible DNS rebinding attack detected")


@pytest.mark.slow
def test_an_honest_registry_is_read_in_few_requests(lying, source: MlflowSource, first: Calibrator) -> None:
    resolved = source.current()
    assert resolved == Resolved(name="cal", version="3", digest=first.digest)
    assert len(lying.requests) == 1  # the poll
    assert calibrators.loads(source.fetch(resolved)) == first
    assert len(lying.requests) == 4
    assert all("champion" not in request for request in lying.requests[1:])  # by number, never by alias


def test_a_fixed_version_is_read_by_its_number(lying, first: Calibrator) -> None:
    source = MlflowSource(name="cal", version="3", registry_uri=lying.address)
    resolved = source.current()
    assert calibrators.loads(source.fetch(resolved)) == first
    assert not lying.count("alias")
    lying.versions.clear()
    with pytest.raises(RegistryFailure, match="cal has no version 3") as failed:
        source.current()
    assert failed.value.code == "VERSION_UNKNOWN"


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (status(503), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (status(500, "Traceback"), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (status(429, Retry_After="300"), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (status(503, Retry_After="300"), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (status(404, "<html>nginx</html>"), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (status(400, "<html>400 Bad Request</html>"), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (
            status(400, "The plain HTTP request was sent to HTTPS port"),
            "REGISTRY_UNAVAILABLE",
            "cannot be read",
        ),
        (status(400, '{"message": "no alias for this host"}'), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (status(400, '{"error_code": 400, "message": "alias"}'), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (
            status(400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "bad header"}'),
            "REGISTRY_UNAVAILABLE",
            "cannot be read",
        ),
        (status(404, '{"error_code": 404, "message": "no model"}'), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (
            status(404, '{"error_code": "NOT_FOUND", "message": "no route to /api"}'),
            "REGISTRY_UNAVAILABLE",
            "cannot be read",
        ),
        (status(200, "<html>a login page</html>"), "REGISTRY_UNAVAILABLE", "cannot be read"),
        (status(200, '{"model_version": []}'), "REGISTRY_UNAVAILABLE", "no MLflow registry"),
        (status(200, "{}"), "REGISTRY_UNAVAILABLE", "no MLflow registry"),
        (
            status(200, '{"model_version": {"version": "../../etc"}}'),
            "REGISTRY_UNAVAILABLE",
            "no MLflow registry",
        ),
        (HOST_REFUSED, "REGISTRY_HOST_REFUSED", "--allowed-hosts"),
        (status(401, "Unauthorized"), "REGISTRY_ACCESS_DENIED", "MLFLOW_TRACKING_USERNAME"),
        (status(403, "Permission denied"), "REGISTRY_ACCESS_DENIED", "MLFLOW_TRACKING_TOKEN"),
        (hang, "REGISTRY_UNAVAILABLE", "timed out"),
        (close, "REGISTRY_UNAVAILABLE", "cannot be read"),
    ],
)
def test_a_poll_that_goes_wrong_has_a_code_and_says_what_to_do_soon(
    lying, source: MlflowSource, fault: Callable[[object], None], code: str, words: str
) -> None:
    lying.faults["alias"] = fault
    began = time.monotonic()
    with pytest.raises(RegistryFailure, match=words) as failed:
        source.current()
    assert failed.value.code == code
    assert time.monotonic() - began < HANG_SECONDS  # one attempt, no retries, whatever Retry-After asks
    assert lying.count("alias") == 1
    assert len(str(failed.value)) < 700
    assert "\n" not in str(failed.value)


def test_nobody_listening_is_noticed_at_once(source: MlflowSource) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(RegistryFailure, match=f"127.0.0.1:{port}") as failed:
        MlflowSource(name="cal", alias="champion", registry_uri=f"http://127.0.0.1:{port}").current()
    assert failed.value.code == "REGISTRY_UNAVAILABLE"


def test_a_login_in_the_address_is_not_repeated_in_messages(lying) -> None:
    address = lying.address.replace("http://", "http://ada:hunter2@")
    lying.faults["alias"] = status(503)
    with pytest.raises(RegistryFailure) as failed:
        MlflowSource(name="cal", alias="champion", registry_uri=address).current()
    assert "hunter2" not in str(failed.value)
    assert "127.0.0.1" in str(failed.value)


def test_unknown_names_have_their_own_codes(lying, source: MlflowSource) -> None:
    lying.aliases.clear()
    with pytest.raises(RegistryFailure, match="cal has no alias champion: promote") as failed:
        source.current()
    assert failed.value.code == "ALIAS_UNKNOWN"
    lying.aliases["champion"] = "9"  # a version that was deleted
    with pytest.raises(RegistryFailure, match="cal has no version") as failed:
        source.current()
    assert failed.value.code == "VERSION_UNKNOWN"
    lying.faults["alias"] = status(
        404,
        '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered Model with name=cal not found"}',
    )
    with pytest.raises(RegistryFailure, match="no registered model cal: register") as failed:
        source.current()
    assert failed.value.code == "REGISTERED_MODEL_UNKNOWN"


def test_revocation_is_read_from_the_version(lying, source: MlflowSource, first: Calibrator) -> None:
    lying.add("3", first, revoked='{"by": "ada"}')
    assert source.current().revoked
    assert source.revoked("3")
    lying.add("3", first, revoked="")  # any value will do, none at all too
    assert source.revoked("3")
    lying.add("4", first)
    assert not source.revoked("4")
    assert not source.revoked("5")  # deleted is not revoked
    lying.faults["model-versions/get"] = status(503)
    with pytest.raises(RegistryFailure):
        source.revoked("4")


def test_only_our_own_tags_are_kept_and_an_empty_approval_is_none(
    lying_registry, make_calibrator: Make
) -> None:
    lying_registry.add("1", make_calibrator(), approved=" ")
    lying_registry.add("2", make_calibrator(), approved='{"by": "ada"}')
    lying_registry.versions["2"].tags["team"] = "blue"
    lying_registry.aliases["champion"] = "1"
    source = MlflowSource(name="cal", alias="champion", registry_uri=lying_registry.address)
    assert not source.current().approved
    lying_registry.aliases["champion"] = "2"
    assert source.current().approved
    assert source.tags("2").keys() == {"trueband.sha256", "trueband.approved"}
    assert source.tags("7") == {}  # deleted


def test_a_version_without_the_digest_tag_is_refused_unread(
    lying, source: MlflowSource, first: Calibrator
) -> None:
    lying.add("3", first, untagged="")
    with pytest.raises(CalibratorRefused, match=r"trueband\.sha256.*--register") as refused:
        source.fetch(source.current())
    assert refused.value.code == "DIGEST_TAG_MISSING"
    assert not lying.count("calibrator.json")


# The download.


def endless(handler) -> None:
    """A chunked body without an end; it counts what it got rid of."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    block = b" " * 65536
    handler.lying.sent = 0
    for _ in range(4096):  # 256 MB
        handler.wfile.write(b"10000\r\n" + block + b"\r\n")
        handler.lying.sent += len(block)


def huge(handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    handler.lying.sent = 0
    for _ in range(4096):
        handler.wfile.write(b"x" * 65536)
        handler.lying.sent += 65536


@pytest.mark.parametrize("fault", [endless, huge])
def test_a_huge_document_is_refused_after_its_first_megabyte(
    lying, source: MlflowSource, fault: Callable[[object], None]
) -> None:
    lying.faults["calibrator.json"] = fault
    with pytest.raises(CalibratorRefused) as refused:
        source.fetch(source.current())
    assert refused.value.code == "DOCUMENT_TOO_LARGE"
    assert lying.sent < 64 << 20  # what the sockets' buffers hold, not the rest


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(lying, source: MlflowSource) -> None:
    packed = gzip.compress(b" " * (256 << 20), compresslevel=1)

    def bomb(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)

    lying.faults["calibrator.json"] = bomb
    with pytest.raises(CalibratorRefused) as refused:
        source.fetch(source.current())
    assert refused.value.code == "DOCUMENT_TOO_LARGE"


def drip(handler) -> None:
    """A byte now and then: no read times out, and it would take a month."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def test_a_download_has_a_deadline_even_if_a_byte_comes_now_and_then(lying) -> None:
    lying.faults["calibrator.json"] = drip
    clock: Iterator[float] = iter([0.0, 1.0, 5.0, mlflow_source.DOWNLOAD_SECONDS + 1.0])
    source = MlflowSource(
        name="cal", alias="champion", registry_uri=lying.address, monotonic=lambda: next(clock)
    )
    with pytest.raises(RegistryFailure, match="did not arrive within 10 s") as failed:
        source.fetch(source.current())
    assert failed.value.code == "REGISTRY_UNAVAILABLE"


def half(handler) -> None:
    body = handler.lying.versions["3"].body
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    close(handler)


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (status(404, "no such artifact"), CalibratorRefused, "DOCUMENT_MISSING"),
        (status(503), RegistryFailure, "REGISTRY_UNAVAILABLE"),
        (status(501, "not proxied"), RegistryFailure, "REGISTRY_UNAVAILABLE"),
        (HOST_REFUSED, RegistryFailure, "REGISTRY_HOST_REFUSED"),
        (hang, RegistryFailure, "REGISTRY_UNAVAILABLE"),
        (close, RegistryFailure, "REGISTRY_UNAVAILABLE"),
        (half, RegistryFailure, "REGISTRY_UNAVAILABLE"),
    ],
)
def test_a_download_that_goes_wrong_has_a_code(
    lying, source: MlflowSource, fault: Callable[[object], None], error: type[Exception], code: str
) -> None:
    lying.faults["calibrator.json"] = fault
    with pytest.raises(error) as raised:
        source.fetch(source.current())
    assert raised.value.code == code  # type: ignore[attr-defined]


def test_the_login_goes_to_the_registry_and_to_nobody_else(
    lying, lying_registry, make_calibrator: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    source = MlflowSource(name="cal", alias="champion", registry_uri=lying.address)
    source.fetch(source.current())
    assert all("Authorization" in headers for headers in lying.headers)

    # Whoever may register a version may point it at a server of their own; here, this one's other name.
    lying.headers.clear()
    lying.location = (
        lying.address.replace("127.0.0.1", "localhost")
        + f"{'/api/2.0/mlflow-artifacts/artifacts'}/{{version}}"
    )
    source.fetch(source.current())
    assert "Authorization" not in lying.headers[-1]
    assert all("Authorization" in headers for headers in lying.headers[:-1])


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("good", None),
        ("missing", "DOCUMENT_MISSING"),
        ("huge", "DOCUMENT_TOO_LARGE"),
    ],
)
def test_a_store_that_is_not_behind_the_server_is_read_through_a_folder_that_does_not_stay(
    lying,
    first: Calibrator,
    tmp_path: Path,
    scratch: Path,
    content: str,
    code: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    store = tmp_path / "store" / "3"
    store.mkdir(parents=True)
    (store / "MLmodel").write_text("flavors: {}")
    if content == "good":
        (store / "calibrator.json").write_text(calibrators.dumps(first))
    elif content == "huge":
        with (store / "calibrator.json").open("wb") as file:
            file.truncate(sources.MAX_DOCUMENT_BYTES + 1)
    lying.location = f"file://{tmp_path}/store/{{version}}"
    source = MlflowSource(name="cal", alias="champion", registry_uri=lying.address, scratch=scratch)
    if code is None:
        assert calibrators.loads(source.fetch(source.current())) == first
    else:
        with pytest.raises(CalibratorRefused) as refused:
            source.fetch(source.current())
        assert refused.value.code == code
    assert list(scratch.iterdir()) == []


def test_a_store_that_this_process_cannot_open_is_a_failure(lying, source: MlflowSource) -> None:
    lying.location = "nosuchscheme://bucket/{version}"
    with pytest.raises(RegistryFailure) as failed:
        source.fetch(source.current())
    assert failed.value.code == "REGISTRY_UNAVAILABLE"


# The watcher on top.


def test_the_watcher_keeps_the_last_good_calibrator_through_every_fault_and_recovers(
    lying, make_watcher, make_calibrator: Make, first: Calibrator
) -> None:
    watcher = make_watcher(URI, registry_uri=lying.address)
    watcher.start()
    watcher.reload_now()
    good = watcher.current()[M]
    assert good.calibrator == first

    lying.add("4", make_calibrator(1.25), body=b"{garbage")
    lying.add("5", make_calibrator(1.25), body=calibrators.dumps(make_calibrator(1.75)).encode())
    lying.add("6", make_calibrator(1.25), untagged="")
    lying.add("7", make_calibrator(1.25), revoked="by ada")
    lying.add("8", make_calibrator(1.25, model="another"))
    for number, code in {
        "4": "DOCUMENT_MALFORMED",
        "5": "DIGEST_MISMATCH",
        "6": "DIGEST_TAG_MISSING",
        "7": "CALIBRATOR_REVOKED",
        "8": "EVIDENCE_MISMATCH",
        "99": "VERSION_UNKNOWN",
    }.items():
        lying.aliases["champion"] = number
        [status_now] = watcher.reload_now(timeout=60.0)
        assert status_now.last_error_code == code
        assert watcher.current()[M].reference == good.reference

    newcomer = make_calibrator(1.25)
    lying.add("9", newcomer)
    lying.aliases["champion"] = "9"
    for part in ("alias", "download-uri", "calibrator.json"):
        for fault in (status(503), close, HOST_REFUSED):
            lying.faults = {part: fault}
            [status_now] = watcher.reload_now(timeout=60.0)
            assert status_now.last_error_code in ("REGISTRY_UNAVAILABLE", "REGISTRY_HOST_REFUSED")
            assert watcher.current()[M].reference == good.reference
    lying.faults = {}
    [status_now] = watcher.reload_now(timeout=60.0)
    assert status_now.last_error is None
    assert watcher.current()[M].calibrator == newcomer
    assert watcher.current()[M].reference.version == "9"


def test_an_alias_that_moves_during_the_download_is_followed(
    lying, make_watcher, make_calibrator: Make, changes
) -> None:
    newcomer = make_calibrator(1.25)
    lying.add("4", newcomer)

    def move(_: object) -> bool:
        lying.aliases["champion"] = "4"
        return False  # and then the honest answer: version 3's document

    lying.faults["calibrator.json"] = move
    watcher = make_watcher(URI, registry_uri=lying.address, changes=changes)
    watcher.start()
    watcher.reload_now(timeout=60.0)
    assert watcher.current()[M].calibrator == newcomer
    assert changes.seen == [(M, newcomer.digest)]


def test_no_folder_is_left_behind(
    lying, make_watcher, make_calibrator: Make, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    watcher = make_watcher(URI, registry_uri=lying.address)
    watcher.start()
    for number in range(4, 10):
        lying.add(str(number), make_calibrator(1.0 + number / 64))
        lying.aliases["champion"] = str(number)
        [status_now] = watcher.reload_now(timeout=60.0)
        assert status_now.last_error is None
    assert list(scratch.iterdir()) == []
    assert [path.suffix for path in make_watcher.directory.iterdir()] == [".json"]


def test_a_registry_that_is_not_configured_says_how(make_watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    watcher = make_watcher({M: Expectation(uri=URI, evidence="score")})
    watcher.start()
    [status_now] = watcher.reload_now()
    assert status_now.last_error_code == "REGISTRY_NOT_CONFIGURED"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    [status_now] = watcher.reload_now()
    assert status_now.last_error_code == "REGISTRY_SCHEME_UNSUPPORTED"
    assert "mlflow server" in (status_now.last_error or "")

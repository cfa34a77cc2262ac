"""Settings come from the environment, the flags win, and each mistake is named by flag and variable."""

import os
from pathlib import Path

import pytest

from sidecar import errors
from sidecar.service import settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in [name for name in os.environ if name.startswith("TRUEBAND_")]:
        monkeypatch.delenv(name)


def test_the_defaults_listen_on_loopback_and_write_beside():
    read = settings.read({"policy": "p.yaml"})
    assert read.listen == "127.0.0.1:50051"
    assert (read.health_listen, read.metrics_listen) == ("", "")
    assert read.data_dir == Path("trueband-data")
    assert read.ready_without_calibrator
    assert not read.allow_plaintext
    assert read.ledger() == f"sqlite:///{Path.cwd() / 'trueband-data' / 'ledger.db'}"


def test_flags_win_over_the_environment(monkeypatch):
    monkeypatch.setenv("TRUEBAND_POLICY", "env.yaml")
    monkeypatch.setenv("TRUEBAND_LISTEN", "unix:/run/trueband.sock")
    monkeypatch.setenv("TRUEBAND_THREADS", "3")
    read = settings.read({"listen": "127.0.0.1:1", "threads": None})
    assert (read.policy, read.listen, read.threads) == (Path("env.yaml"), "127.0.0.1:1", 3)


def test_a_misspelt_variable_is_told_with_what_it_looks_like():
    names = ["TRUEBAND_LISTN", "TRUEBAND_POLICY", "TRUEBAND_AUDITKEYS", "TRUEBAND_TOKEN", "LISTN"]
    names += ["TRUEBAND_SERVICE_HOST", "TRUEBAND_PORT_50051_TCP_ADDR", "TRUEBAND_ADDRESS"]
    assert settings.misspelt(names) == {
        "TRUEBAND_AUDITKEYS": "TRUEBAND_AUDIT_KEYS",
        "TRUEBAND_LISTN": "TRUEBAND_LISTEN",
    }


def test_an_empty_variable_is_not_set(monkeypatch):
    monkeypatch.setenv("TRUEBAND_POLICY", "p.yaml")
    monkeypatch.setenv("TRUEBAND_LEDGER_URL", "")
    monkeypatch.setenv("TRUEBAND_THREADS", "")
    assert settings.read({}).threads == 6


def test_variables_that_are_not_ours_do_not_matter(monkeypatch):
    """Kubernetes puts TRUEBAND_PORT=tcp://... beside a service of that name."""
    monkeypatch.setenv("TRUEBAND_PORT", "tcp://10.0.0.1:50051")
    monkeypatch.setenv("TRUEBAND_SERVICE_HOST", "10.0.0.1")
    assert settings.read({"policy": "p.yaml"}).listen == "127.0.0.1:50051"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("threads", "0", "greater than or equal to 1"),
        ("threads", "many", "valid integer"),
        ("poll_interval", "0", "greater than 0"),
        ("poll_interval", "nan", ""),
        ("poll_interval", "inf", "less than or equal to 3600"),
        ("policy_poll_interval", "-1", "greater than 0"),
        ("drain_seconds", "601", "less than or equal to 600"),
        ("drain_seconds", "nan", ""),
        ("journal_max_bytes", "1000", "greater than or equal to 1048576"),
        ("max_concurrent_calls", "0", "greater than or equal to 1"),
        ("ledger_threads", "0", "greater than or equal to 1"),
        ("reflection", "perhaps", "valid boolean"),
        ("log_level", "loud", "'debug'"),
        ("ready_without_calibrator", "perhaps", "valid boolean"),
    ],
)
def test_a_wrong_setting_is_named_by_flag_and_variable(name, value, words, monkeypatch):
    monkeypatch.setenv("TRUEBAND_POLICY", "p.yaml")
    monkeypatch.setenv(f"TRUEBAND_{name.upper()}", value)
    with pytest.raises(errors.SettingsRefused) as caught:
        settings.read({})
    assert f"--{name.replace('_', '-')} (or TRUEBAND_{name.upper()}): " in str(caught.value)
    assert words in str(caught.value)


def test_a_missing_policy_is_required():
    with pytest.raises(errors.SettingsRefused, match=r"--policy \(or TRUEBAND_POLICY\): is required"):
        settings.read({})


def test_listening_in_clear_beyond_loopback_must_be_asked_for(monkeypatch):
    with pytest.raises(errors.SettingsRefused, match="TRUEBAND_ALLOW_PLAINTEXT=true"):
        settings.read({"policy": "p.yaml", "listen": "0.0.0.0:50051"})
    monkeypatch.setenv("TRUEBAND_ALLOW_PLAINTEXT", "true")
    assert settings.read({"policy": "p.yaml", "listen": "0.0.0.0:50051"}).listen == "0.0.0.0:50051"


def test_secrets_do_not_show_themselves(monkeypatch):
    monkeypatch.setenv("TRUEBAND_POLICY", "p.yaml")
    monkeypatch.setenv("TRUEBAND_LEDGER_URL", "postgresql://ada:hunter2@db/trueband")
    monkeypatch.setenv("TRUEBAND_DECISION_KEY", "ab" * 32)
    monkeypatch.setenv("TRUEBAND_AUDIT_KEYS", "k1:" + "cd" * 32)
    read = settings.read({})
    shown = f"{read!r}{read!s}{read.model_dump_json()}"
    assert not any(secret in shown for secret in ("hunter2", "abab", "cdcd"))
    assert read.ledger() == "postgresql://ada:hunter2@db/trueband"


def test_settings_cannot_be_changed():
    read = settings.read({"policy": "p.yaml"})
    with pytest.raises(ValueError, match="frozen"):
        read.listen = "0.0.0.0:1"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("listen", "::1:50051", "needs brackets, as in [::1]:50051"),
        ("health_listen", "::1:50052", "needs brackets, as in [::1]:50052"),
        ("health_listen", "50052", "is no address"),
        ("health_listen", "unix:" + "x" * 108, "room for 107 bytes"),
        ("metrics_listen", "0.0.0.0:99999", "is no address"),
        ("metrics_listen", "9090", "is no address"),
    ],
)
def test_an_address_that_is_none_is_told(name, value, words, monkeypatch):
    monkeypatch.setenv("TRUEBAND_POLICY", "p.yaml")
    monkeypatch.setenv(f"TRUEBAND_{name.upper()}", value)
    with pytest.raises(errors.SettingsRefused) as caught:
        settings.read({})
    assert words in str(caught.value)

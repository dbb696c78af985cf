"""What of the environment counts when a server is asked: proxies, certificates, and no passwords of netrc."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from astrasim.gateway.models import ModelError
from tests.gateway.test_http import KEY, RUN, Kind, answer, ask, error

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

# For 127.0.0.1, signed by itself, valid until 2126: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1
# -nodes -days 36500 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAJbfauPuobokpKvs
BzURrysSRklHHPIb3t0KCf9j3ayhRANCAATPAzBqZaIolrsKdg50brsbPah2RVJA
3v5BzKIgSfQsYvzEQQIVm0wtFZ3nwNaiCLBkHg7ankh/wc95bQOFMwLz
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkTCCATagAwIBAgIUZCZZVBDSMjb78hBO5IJ+HbO+RTcwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMjE5MzAyN1oYDzIxMjYxMDI5
MTkzMDI3WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATPAzBqZaIolrsKdg50brsbPah2RVJA3v5BzKIgSfQsYvzEQQIVm0wt
FZ3nwNaiCLBkHg7ankh/wc95bQOFMwLzo2QwYjAdBgNVHQ4EFgQU296nPC1hDmJE
ABALBXKHCugfUAkwHwYDVR0jBBgwFoAU296nPC1hDmJEABALBXKHCugfUAkwDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0kAMEYC
IQDjhTc7mbdDlGsm8ehy77zpOCzUFLLw1z5ZwR73a9CpaQIhAPmju7sCnuth2Odw
BKBuP7h1IwOo28FR1vEbTTQelShD
-----END CERTIFICATE-----
"""


def test_a_proxy_is_not_asked_about_this_machine(
    kind: Kind, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    server.says(RUN[kind])
    assert answer(kind, server) == "run"


def test_a_server_elsewhere_is_asked_through_the_proxy_of_the_environment(
    kind: Kind, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("//", f"//shepherd:{KEY}@"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.says(RUN[kind])
    assert anyio.run(ask, kind, "http://models.invalid:1234") == "run"
    assert server.paths[0].startswith("http://models.invalid:1234/")
    server.says(f"no entry with {KEY}".encode(), status=407)
    with pytest.raises(ModelError) as caught:
        anyio.run(ask, kind, "http://models.invalid:1234")
    assert (caught.value.reason, caught.value.detail) == ("http_407", "no entry with ***")


def test_a_proxy_on_the_way_to_https_gets_no_key_and_its_refusal_repeats_no_login(
    kind: Kind, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.says(b"", status=407)
    for login in ("", "shepherd:p%7ew%21d@", "to%7eken@"):
        monkeypatch.setenv("https_proxy", server.url.replace("//", f"//{login}"))
        with pytest.raises(ModelError) as caught:
            anyio.run(ask, kind, "https://models.invalid", KEY)
        assert (caught.value.reason, caught.value.may_pass) == ("proxy_refused", False)
        assert caught.value.detail == "the proxy answered 407"
    assert set(server.paths) == {"models.invalid:443"} and KEY not in str(server.headers)
    assert ["proxy-authorization" in headers for headers in server.headers] == [False, True, True]


def test_a_user_alone_is_a_proxys_secret(kind: Kind, server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("//", f"//{KEY}@"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.says(f"no entry with {KEY}".encode(), status=407)
    with pytest.raises(ModelError) as caught:
        anyio.run(ask, kind, "http://models.invalid")
    assert caught.value.detail == "no entry with ***"


def test_all_proxy_counts_and_no_proxy_does(kind: Kind, server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.setenv("all_proxy", server.url)
    monkeypatch.setenv("no_proxy", "here.invalid")
    server.says(RUN[kind])
    assert anyio.run(ask, kind, "http://models.invalid") == "run"
    with pytest.raises(ModelError, match="unreachable"):
        anyio.run(ask, kind, "http://here.invalid")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("https_proxy", "socks5://127.0.0.1:9", "a socks5 proxy"), ("SSL_CERT_FILE", json.__file__, "SSL_CERT_FILE")],
)
def test_an_environment_that_cannot_be_used_is_told(
    kind: Kind, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ModelError, match=f"no_model: .*{says}"):
        anyio.run(ask, kind, "https://models.invalid")


def test_passwords_of_netrc_are_not_sent(
    kind: Kind, server: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login shepherd password crook\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.says(RUN[kind])
    assert answer(kind, server) == "run"
    assert "authorization" not in server.headers[0]


def test_a_certificate_must_be_signed_by_somebody_known(
    kind: Kind, server: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "certificate.pem"
    file.write_text(CERTIFICATE)
    server.speaks_tls(file)
    server.says(RUN[kind])
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert "certificate" in error(kind, server).detail
    assert error(kind, server).reason == "unreachable"
    assert not server.bodies
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert answer(kind, server) == "run"

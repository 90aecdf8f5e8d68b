"""`--web.config.file`."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import bcrypt
import pytest

from rulepush.config.web_config import Passwords, load_web_config
from rulepush.errors import ConfigError
from rulepush.model.secret import Secret
from tests.http_client.certificates import Authority


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def write(path: Path, text: str) -> str:
    (path / "web.yml").write_text(text)
    return str(path / "web.yml")


def test_users_are_checked_against_bcrypt_hashes(tmp_path: Path) -> None:
    path = write(tmp_path, f"basic_auth_users:\n  alice: {hashed('wonder')}\n  bob: {hashed('x' * 100)}\n")
    config = load_web_config(path)
    passwords = config.passwords()
    assert passwords is not None
    assert "$2y$" not in repr(config)

    async def go() -> None:
        for _ in range(2):
            assert await passwords.verify("alice", "wonder")
            assert not await passwords.verify("alice", "wander")
            assert not await passwords.verify("carol", "wonder")
            assert not await passwords.verify("carol", "fakepassword")
            assert not await passwords.verify("", "")
            assert not await passwords.verify("alice", "won\x00der")
            assert await passwords.verify("bob", "x" * 100)

    asyncio.run(go())


class Watched(Passwords):
    """Counts the comparisons that run at a time; `during` happens in the middle of each."""

    running = most = 0

    def during(self) -> None:
        pass

    def check(self, user: str, password: str) -> bool:
        self.running += 1
        self.most = max(self.most, self.running)
        good = super().check(user, password)
        self.during()
        self.running -= 1
        return good


def test_passwords_are_compared_one_at_a_time() -> None:
    passwords = Watched({"alice": Secret(hashed("wonder"))})

    async def go() -> None:
        tries = [passwords.verify("alice", f"wonder{i}") for i in range(20)]
        assert not any(await asyncio.gather(*tries))
        assert await passwords.verify("alice", "wonder")

    asyncio.run(go())
    assert passwords.most == 1


def test_a_password_that_is_replaced_while_it_is_compared_is_not_remembered() -> None:
    class Replaced(Watched):
        def during(self) -> None:
            self.replace({"alice": Secret(hashed("land"))})

    passwords = Replaced({"alice": Secret(hashed("wonder"))})

    async def go() -> None:
        await passwords.verify("alice", "wonder")
        assert not await passwords.verify("alice", "wonder")

    asyncio.run(go())


def test_tls_and_headers_are_read(tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path / "ca.pem")
    authority.issue(tmp_path / "cert.pem", tmp_path / "key.pem")
    path = write(
        tmp_path,
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  client_ca_file: ca.pem\n"
        "  client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS13\n"
        "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n"
        "  curve_preferences: [X25519]\n"
        "http_server_config:\n  http2: true\n  headers: {X-Frame-Options: deny}\n",
    )
    config = load_web_config(path)
    assert config.headers == (("X-Frame-Options", "deny"),)
    assert config.ignored == ("tls_server_config.curve_preferences",)
    context = config.tls_context()
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert config.passwords() is None


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    config = load_web_config(write(tmp_path, ""))
    assert config.tls_context() is None
    assert config.passwords() is None


def test_a_certificate_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("none")
    (tmp_path / "cert.pem").write_text("none")
    config = load_web_config(write(tmp_path, "tls_server_config: {cert_file: cert.pem, key_file: key.pem}"))
    with pytest.raises(ConfigError, match=r"cert\.pem and .*key\.pem cannot be used"):
        config.tls_context()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("basic_auth_user: {a: b}", "unknown key 'basic_auth_user' (did you mean 'basic_auth_users'?)"),
        ("basic_auth_users: {a: plain-text}", "the password of 'a' is not a bcrypt hash"),
        ("tls_server_config: {cert_file: a}", "exactly one of key and key_file must be configured"),
        ("tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}", "without a Client Auth Policy"),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert}",
            "RequireAnyClientCert is not supported",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}",
            "RequireAndVerifyClientCert needs client_ca_file",
        ),
        ("tls_server_config: {cert_file: a, key_file: b, cipher_suites: [X]}", "unknown cipher: X"),
        ("tls_server_config: {cert_file: a, key_file: b, client_allowed_sans: [x]}", "not supported yet"),
        ("http_server_config: {headers: {X-Other: a}}", "unknown key 'X-Other'"),
        ("[]", "expected a mapping, got a list"),
    ],
)
def test_faults(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as e:
        load_web_config(write(tmp_path, text))
    assert complaint in str(e.value)
    assert "plain-text" not in str(e.value)

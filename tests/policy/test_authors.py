"""Signatures of authors: exactly what was signed is taken, and nothing signed before it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, OKPKey

from safeconduct.policy import (
    SIGNATURES,
    BundleError,
    make_key,
    public_key,
    read_files,
    signatures,
    verified,
    version_of,
)

FILES = {"x.rego": b"package safeconduct.host\n", "README.md": b"Ours.\n"}


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    make_key(tmp_path / "key.pem", tmp_path / "key.pub")
    return (tmp_path / "key.pem").read_text(), (tmp_path / "key.pub").read_text()


def signed(key: str, *, version: int = 1, files: dict[str, bytes] = FILES) -> dict[str, bytes]:
    return {**files, SIGNATURES: signatures(files, key, version=version)}


def test_a_key_is_its_owners_and_never_replaced(tmp_path: Path, keys: tuple[str, str]) -> None:
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert "PRIVATE" in keys[0]
    assert "PRIVATE" not in keys[1]
    with pytest.raises(FileExistsError):
        make_key(tmp_path / "key.pem", tmp_path / "other.pub")


def test_what_was_signed_is_taken_under_any_of_the_keys(keys: tuple[str, str]) -> None:
    stranger = OKPKey.generate_key("Ed25519")
    jwk = json.dumps(OKPKey.import_key(keys[1]).as_dict(private=False))

    for trusted in ([keys[1]], [jwk], [stranger.as_pem(private=False).decode(), keys[1]]):
        assert verified(signed(keys[0], version=7), [public_key(each) for each in trusted]) == 7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x.rego": b"package safeconduct.host \n"}, "x.rego is not what was signed"),
        ({"y.rego": b""}, "y.rego was not signed"),
        ({"x.rego": None}, "x.rego was signed and is missing"),
        ({"README.md": None}, "README.md was signed and is missing"),
        ({SIGNATURES: None}, "only signed rules are taken"),
        ({SIGNATURES: b"{}"}, "cannot be read"),
        ({SIGNATURES: b'{"signatures": []}'}, "no signature is valid"),
        ({SIGNATURES: b'{"signatures": ["a.b.c"]}'}, "no signature is valid"),
    ],
)
def test_a_directory_that_differs_from_what_was_signed_is_refused(
    keys: tuple[str, str], change: dict[str, bytes | None], said: str
) -> None:
    files = {**signed(keys[0]), **change}

    with pytest.raises(BundleError, match=said):
        verified(
            {name: raw for name, raw in files.items() if raw is not None}, [public_key(keys[1])]
        )


def test_a_stranger_s_signature_counts_for_nothing(keys: tuple[str, str]) -> None:
    stranger = OKPKey.generate_key("Ed25519").as_pem(private=True).decode()

    with pytest.raises(BundleError, match="no signature is valid"):
        verified(signed(stranger), [public_key(keys[1])])


def test_a_signature_without_algorithm_or_with_the_public_key_as_secret_is_refused(
    keys: tuple[str, str],
) -> None:
    """RFC 8725 sections 2.1 and 3.1: the verifier chooses the algorithm."""
    import base64
    import hashlib
    import hmac

    _, payload, signature = json.loads(signed(keys[0])[SIGNATURES])["signatures"][0].split(".")

    def header(algorithm: str) -> str:
        return base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).decode().strip("=")

    mac = hmac.digest(keys[1].encode(), f"{header('HS256')}.{payload}".encode(), hashlib.sha256)
    forged = base64.urlsafe_b64encode(mac).decode().strip("=")
    for token in (
        f"{header('none')}.{payload}.",
        f"{header('HS256')}.{payload}.{forged}",
        f"{header('EdDSA')}.{payload}.{signature}",
    ):
        raw = json.dumps({"signatures": [token]}).encode()
        with pytest.raises(BundleError, match="no signature is valid"):
            verified({**FILES, SIGNATURES: raw}, [public_key(keys[1])])


@pytest.mark.parametrize("version", [0, -1, 2**53, 1.5, "1", None, True])
def test_a_version_is_a_whole_number_from_1(keys: tuple[str, str], version: object) -> None:
    with pytest.raises(BundleError, match="no signature is valid"):
        verified(signed(keys[0], version=version), [public_key(keys[1])])  # type: ignore[arg-type]


def test_keys_of_another_kind_are_refused(keys: tuple[str, str]) -> None:
    curve = ECKey.generate_key("P-256").as_pem(private=False).decode()
    for text in ("", "nonsense", "{}", curve):
        with pytest.raises(BundleError, match="no Ed25519 key"):
            public_key(text)
    with pytest.raises(BundleError, match="private one"):
        public_key(keys[0])
    with pytest.raises(BundleError, match="needs the private key"):
        signatures(FILES, keys[1], version=1)


def test_the_version_that_is_there_can_be_read_by_whoever_signs_next(keys: tuple[str, str]) -> None:
    assert version_of(signed(keys[0], version=41)) == 41
    assert version_of(FILES) == version_of({SIGNATURES: b"["}) == 0


def test_only_what_lies_in_the_directory_is_read(tmp_path: Path) -> None:
    inside = tmp_path / "policies"
    (inside / ".git").mkdir(parents=True)
    (inside / ".git" / "x.rego").write_text("")
    (inside / "sub").mkdir()
    (inside / "sub" / "y.rego").write_text("y")
    (inside / "x.rego").symlink_to("sub/y.rego")
    (inside / "notes.md").write_text("n")

    assert read_files(inside) == {"x.rego": b"y", "sub/y.rego": b"y"}
    assert set(read_files(inside, everything=True)) == {"x.rego", "sub/y.rego", "notes.md"}
    (tmp_path / "secret.rego").write_text("s")
    (inside / "z.rego").symlink_to("../secret.rego")
    with pytest.raises(BundleError, match=r"z\.rego: leads out of the policy directory"):
        read_files(inside)


def test_a_directory_that_is_too_large_or_no_file_is_refused(tmp_path: Path) -> None:
    import os

    (tmp_path / "x.rego").write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(BundleError, match="more than 4194304 bytes"):
        read_files(tmp_path)
    (tmp_path / "x.rego").unlink()
    os.mkfifo(tmp_path / "x.rego")
    with pytest.raises(BundleError, match="no regular file"):
        read_files(tmp_path)

"""Secret files: who may read them, what damage does, and what a passphrase protects."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import stat
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.errors import KakuriError
from kakuri.trust.secret_file import SecretLimits, read_header, read_secret, write_secret
from kakuri.trust.secret_magic import is_secret

SECTIONS = {"secret": bytes(range(200)), "digest": b"\x01" * 32, "empty": b""}
PUBLIC = {"parameters": "ab12", "log_n": 14}
LOW_COST = 14


def code_of(function: object, *arguments: object, **named: object) -> str:
    with pytest.raises(KakuriError) as caught:
        function(*arguments, **named)  # type: ignore[operator]
    return caught.value.code


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_secret(tmp_path / "client.kkey", "encrypted-client", SECTIONS, public=PUBLIC)
    return tmp_path / "client.kkey"


@pytest.fixture
def protected(tmp_path: Path) -> Path:
    target = tmp_path / "locked.kkey"
    write_secret(target, "encrypted-client", SECTIONS, public=PUBLIC, passphrase="påss", scrypt_log2_n=LOW_COST)
    return target


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9._-]{0,9}", fullmatch=True), st.binary(max_size=100), max_size=5))
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, sections: dict[str, bytes]) -> None:
    path = tmp_path_factory.mktemp("s") / "k.kkey"
    write_secret(path, "kind", sections, public=PUBLIC)
    secret = read_secret(path, "kind")
    assert secret.sections == sections
    assert secret.header.public == PUBLIC
    assert not secret.header.protected


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_the_mode_is_0600_from_creation_whatever_the_umask(
    tmp_path: Path, mask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    real_open = os.open

    def watching(name: object, flags: int, *more: object, **named: object) -> int:
        descriptor = real_open(name, flags, *more, **named)  # type: ignore[arg-type]
        if flags & os.O_CREAT:
            assert flags & os.O_EXCL
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", watching)
    old = os.umask(mask)
    try:
        write_secret(tmp_path / "k", "kind", SECTIONS)
    finally:
        os.umask(old)
    assert len(modes) == 1
    assert modes[0] & 0o077 == 0
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o777])
def test_a_file_that_others_may_touch_is_refused_with_the_repair(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KakuriError) as caught:
        read_secret(path, "encrypted-client")
    assert caught.value.code == "KK-K20"
    assert f"chmod 600 {path}" in caught.value.problem.hint
    assert read_header(path).mode == mode
    path.chmod(0o400)
    assert read_secret(path, "encrypted-client").sections == SECTIONS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(path, 12345, 12345)
    assert code_of(read_secret, path, "encrypted-client") == "KK-K20"


def test_an_existing_key_is_kept_unless_told_otherwise(path: Path) -> None:
    before = path.read_bytes()
    assert code_of(write_secret, path, "encrypted-client", {"secret": b"new"}) == "KK-F11"
    assert path.read_bytes() == before
    write_secret(path, "encrypted-client", {"secret": b"new"}, overwrite=True)
    assert read_secret(path, "encrypted-client").sections == {"secret": b"new"}
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_secrets_do_not_print(path: Path) -> None:
    secret = read_secret(path, "encrypted-client")
    assert "x01" not in repr(secret)
    assert "x01" not in str(secret)


def test_the_kind_must_match(path: Path) -> None:
    with pytest.raises(KakuriError) as caught:
        read_secret(path, "personal-device")
    assert (caught.value.code, caught.value.problem.got) == ("KK-K23", "encrypted-client")


def test_a_passphrase_protects_the_sections(protected: Path, path: Path) -> None:
    assert SECTIONS["secret"] not in protected.read_bytes()
    assert SECTIONS["secret"] in path.read_bytes()
    assert read_secret(protected, "encrypted-client", passphrase="påss").sections == SECTIONS
    assert read_secret(protected, "encrypted-client", passphrase="pa\u030ass").sections == SECTIONS  # same text, NFD
    assert code_of(read_secret, protected, "encrypted-client") == "KK-K24"
    assert code_of(read_secret, protected, "encrypted-client", passphrase="Påss") == "KK-K25"
    assert code_of(read_secret, protected, "encrypted-client", passphrase="") == "KK-K28"
    assert code_of(read_secret, path, "encrypted-client", passphrase="påss") == "KK-K26"
    header = read_header(protected)
    assert header.protected
    assert (header.kind, header.public) == ("encrypted-client", PUBLIC)
    assert header.sections == {name: len(data) for name, data in SECTIONS.items()}


def test_two_protected_files_share_no_salt_or_nonce(tmp_path: Path) -> None:
    seen = set()
    for index in range(3):
        target = tmp_path / str(index)
        write_secret(target, "kind", {"s": b"1"}, passphrase="p", scrypt_log2_n=LOW_COST)
        protection = json.loads(target.read_bytes()[20:].split(b"}}")[0] + b"}}")["protection"]
        seen |= {protection["salt"], protection["nonce"]}
    assert len(seen) == 6


def resigned(data: bytes) -> bytes:
    """``data`` with a fresh digest, as an attacker would make it."""
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


def test_a_protected_header_is_authenticated(protected: Path) -> None:
    data = protected.read_bytes()
    forged = resigned(data.replace(b'"log_n":14', b'"log_n":15'))
    assert forged != data
    protected.write_bytes(forged)
    assert code_of(read_secret, protected, "encrypted-client", passphrase="påss") == "KK-K25"


def test_golden_file_opens_with_independent_code(protected: Path) -> None:
    """The documented format, read with hashlib.scrypt and AES-GCM alone."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = protected.read_bytes()
    assert data[:16] == b"kakuri-secret-1\n"
    (length,) = struct.unpack_from("<I", data, 16)
    head, body, digest = data[: 20 + length], data[20 + length : -32], data[-32:]
    assert hashlib.sha256(data[:-32]).digest() == digest
    protection = json.loads(head[20:])["protection"]
    key = hashlib.scrypt(
        "påss".encode(), salt=bytes.fromhex(protection["salt"]), n=1 << protection["log2_n"], r=8, p=1, dklen=32
    )
    opened = AESGCM(key).decrypt(bytes.fromhex(protection["nonce"]), body, head)
    assert opened == b"".join(SECTIONS.values())


def test_limits_hold_before_allocation(path: Path, protected: Path) -> None:
    assert code_of(read_secret, path, "encrypted-client", limits=SecretLimits(body_bytes=100)) == "KK-K27"
    assert code_of(read_secret, path, "encrypted-client", limits=SecretLimits(header_bytes=10)) == "KK-K27"
    assert code_of(read_secret, path, "encrypted-client", limits=SecretLimits(sections=2)) == "KK-K27"
    data = protected.read_bytes()
    protected.write_bytes(resigned(data.replace(b'"log2_n":14', b'"log2_n":60')))
    assert code_of(read_secret, protected, "encrypted-client", passphrase="påss") == "KK-K27"
    assert code_of(write_secret, path.with_name("n"), "kind", {}, passphrase="p", scrypt_log2_n=30) == "KK-K28"
    assert code_of(write_secret, path.with_name("n"), "kind", {"s": b"x" * 9}, limits=SecretLimits(body_bytes=8)) == (
        "KK-K27"
    )
    assert not path.with_name("n").exists()


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "é", "a" * 65])
def test_names_are_plain(tmp_path: Path, name: str) -> None:
    assert code_of(write_secret, tmp_path / "k", name, {}) == "KK-K28"
    assert code_of(write_secret, tmp_path / "k", "kind", {name: b""}) == "KK-K28"


def test_other_files_are_told_apart(tmp_path: Path, path: Path) -> None:
    for data in (b"", b"kakuri-secret-2\n" + b"x" * 100, b"-----BEGIN", b"PK\x03\x04"):
        (tmp_path / "o").write_bytes(data)
        (tmp_path / "o").chmod(0o600)
        assert code_of(read_secret, tmp_path / "o", "kind") == "KK-K21"
    assert is_secret(path.read_bytes()[:64])
    assert not is_secret(b"kakuri-secret")


def mutate(data: bytes, random_: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(random_.choice((1, 1, 2, 3))):
        at = random_.randrange(len(result) + 1) if result else 0
        match random_.randrange(6):
            case 0 if result:
                result[at % len(result)] ^= 1 << random_.randrange(8)
            case 1:
                del result[at:]
            case 2:
                result[at:at] = random_.randbytes(random_.choice((1, 32, 500)))
            case 3:
                del result[at : at + random_.choice((1, 4, 32))]
            case 4:
                result[at : at + 1] = random_.choice((b'"', b"9", b"{", b"-1", b"[", b"1e9", b"\xff"))
            case _:
                result[16:20] = struct.pack("<I", random_.choice((0, 1, 2**31, 2**32 - 1, random_.randrange(600))))
    return bytes(result)


def test_a_hundred_thousand_mutations_are_refused_or_harmless(path: Path) -> None:
    """Half of them carry a digest that fits, so that the parser behind it is reached."""
    original = path.read_bytes()
    random_ = random.Random(5)
    seen: dict[str, int] = {}
    with path.open("r+b", buffering=0) as file:
        for index in range(100_000):
            data = mutate(original, random_)
            if index % 2 and len(data) > 32:
                data = resigned(data)
            os.pwrite(file.fileno(), data, 0)
            file.truncate(len(data))
            try:
                secret = read_secret(path, "encrypted-client")
                code = "" if data == original else "other content, digest that fits"
                assert index % 2 or secret.sections == SECTIONS
            except KakuriError as error:
                code = error.code
            seen[code] = seen.get(code, 0) + 1
    assert set(seen) <= {"", "other content, digest that fits", "KK-K21", "KK-K22", "KK-K23", "KK-K27", "KK-F24"}
    assert min(seen[code] for code in ("KK-K21", "KK-K22", "KK-K27")) > 100


def test_no_mutation_of_a_protected_file_opens(protected: Path) -> None:
    original = protected.read_bytes()
    random_ = random.Random(6)
    for _ in range(150):
        data = resigned(mutate(original, random_))
        if data == original:
            continue
        protected.write_bytes(data)
        limits = SecretLimits(scrypt_log2_n=LOW_COST)
        code = code_of(read_secret, protected, "encrypted-client", passphrase="påss", limits=limits)
        assert code in {"KK-K21", "KK-K22", "KK-K23", "KK-K25", "KK-K26", "KK-K27"}


def test_no_mutation_allocates_beyond_the_files_size(path: Path) -> None:
    original = path.read_bytes()
    random_ = random.Random(7)
    worst = 0
    tracemalloc.start()
    try:
        for _ in range(2000):
            path.write_bytes(resigned(mutate(original, random_)))
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            with contextlib.suppress(KakuriError):
                read_secret(path, "encrypted-client")
            worst = max(worst, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert worst < 100_000

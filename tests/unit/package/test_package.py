"""The .kkr container: round trips, determinism, and what is refused."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri import package
from kakuri.errors import KakuriError
from kakuri.package import layout, manifest

ENTRIES = {"net.onnx": b"onnx bytes", "keys.bin": bytes(range(256)) * 5, "empty": b""}
CONTENT = {"packing": "channel", "levels": 5, "scale": 2.0**40, "layers": ["conv1", "act1"], "note": "隔離"}

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(lambda name: name != "manifest.json")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def code_of(function: object, *arguments: object, **named: object) -> str:
    with pytest.raises(KakuriError) as caught:
        function(*arguments, **named)  # type: ignore[operator]
    return caught.value.code


@pytest.fixture
def path(tmp_path: Path) -> Path:
    package.write(tmp_path / "net.kkr", "encrypted", CONTENT, ENTRIES)
    return tmp_path / "net.kkr"


@settings(max_examples=60, deadline=None)
@given(
    content=st.dictionaries(st.text(), json_values, max_size=4),
    entries=st.dictionaries(names, st.binary(max_size=300), max_size=6),
)
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, content: dict, entries: dict) -> None:
    path = tmp_path_factory.mktemp("p") / "a.kkr"
    package.write(path, "room-1", content, entries)
    with package.open_package(path) as opened:
        opened.verify()
        assert (opened.room, opened.content, opened.names) == ("room-1", content, tuple(sorted(entries)))
        for name, data in entries.items():
            assert opened.read(name) == data == bytes(opened.view(name)) == b"".join(opened.chunks(name, 7))
            assert opened.entry(name).sha256 == hashlib.sha256(data).hexdigest()


def test_equal_input_gives_equal_bytes_however_it_is_given(tmp_path: Path, path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(ENTRIES["keys.bin"])
    for other in (
        {"keys.bin": source, "net.onnx": bytearray(ENTRIES["net.onnx"]), "empty": iter(())},
        {
            "empty": iter([b"", b""]),
            "net.onnx": iter([b"onnx", b"", b" bytes"]),
            "keys.bin": memoryview(ENTRIES["keys.bin"]),
        },
    ):
        package.write(tmp_path / "b.kkr", "encrypted", dict(reversed(CONTENT.items())), other)
        assert (tmp_path / "b.kkr").read_bytes() == path.read_bytes()


def test_other_zip_tools_agree(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "empty", "keys.bin", "net.onnx"]
        assert {name: archive.read(name) for name in ENTRIES} == ENTRIES
        document = json.loads(archive.read("manifest.json"))
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert document["content"] == CONTENT
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tqq", str(path)], check=True, capture_output=True)


def test_data_is_aligned_to_64_bytes_in_the_file(path: Path) -> None:
    data = path.read_bytes()
    assert data.index(ENTRIES["keys.bin"]) % 64 == 0
    assert data.index(ENTRIES["net.onnx"]) % 64 == 0


def test_views_are_read_only_and_outlive_close(path: Path) -> None:
    opened = package.open_package(path)
    view = opened.view("keys.bin")
    opened.close()
    opened.close()
    assert view.readonly
    assert bytes(view) == ENTRIES["keys.bin"]
    assert code_of(opened.read, "net.onnx") == "KK-F28"
    assert code_of(opened.view, "net.onnx") == "KK-F28"


def test_a_damaged_entry_is_named_and_the_others_stay_readable(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(ENTRIES["keys.bin"]) + 700] ^= 1
    path.write_bytes(data)
    with package.open_package(path) as opened:
        for read in (opened.read, opened.view, lambda name: next(opened.chunks(name))):
            with pytest.raises(KakuriError) as caught:
                read("keys.bin")
            assert caught.value.code == "KK-F29"
            assert caught.value.problem.where.endswith("keys.bin")
        assert opened.read("net.onnx") == ENTRIES["net.onnx"]
        assert code_of(opened.verify) == "KK-F29"


def test_verify_reports_all_damaged_entries_at_once(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for name in ("keys.bin", "net.onnx"):
        data[data.index(ENTRIES[name])] ^= 1
    path.write_bytes(data)
    with package.open_package(path) as opened, pytest.raises(KakuriError) as caught:
        opened.verify()
    assert [problem.where.rsplit(":")[-1] for problem in caught.value.problems] == ["keys.bin", "net.onnx"]


def test_an_entry_is_hashed_exactly_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    real = hashlib.sha256

    def counting(data: bytes = b"") -> object:
        hashed.append(len(data))
        return real(data)

    with package.open_package(path) as opened:
        monkeypatch.setattr("kakuri.package.reader.hashlib.sha256", counting)
        threads = [threading.Thread(target=opened.view, args=("keys.bin",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        opened.read("keys.bin")
        opened.verify()
    assert hashed.count(len(ENTRIES["keys.bin"])) == 1


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "-", "manifest.json", "a b", "é", "a\0", "x" * 101, "a\n"]
)
def test_names_that_could_be_paths_are_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    assert code_of(package.write, tmp_path / "a.kkr", "room", {}, {name: b""}) == "KK-F23"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1: 2}, 2**70, object(), {"a": [1, {2}]}])
def test_content_that_is_not_json_is_refused_by_place(tmp_path: Path, value: object) -> None:
    with pytest.raises(KakuriError) as caught:
        package.write(tmp_path / "a.kkr", "room", {"deep": [value]}, {})
    assert caught.value.code == "KK-F24"
    assert caught.value.problem.where.startswith("content.deep[0]")
    assert list(tmp_path.iterdir()) == []


def test_content_nested_without_end_is_refused(tmp_path: Path) -> None:
    loop: list[object] = []
    loop.append(loop)
    assert code_of(package.write, tmp_path / "a.kkr", "room", {"x": loop}, {}) == "KK-F24"


def test_a_source_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> object:
        yield b"x" * 5000
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        package.write(tmp_path / "a.kkr", "room", {}, {"a": chunks()})  # type: ignore[dict-item]
    assert code_of(package.write, tmp_path / "a.kkr", "room", {}, {"a": tmp_path / "missing"}) == "KK-F12"
    assert code_of(package.write, tmp_path / "a.kkr", "room", {}, {"a": [1]}) == "KK-F23"
    assert list(tmp_path.iterdir()) == []


def test_limits_hold_when_writing_and_when_reading(tmp_path: Path, path: Path) -> None:
    endless = iter(lambda: b"x" * 1000, b"")
    limits = package.Limits(entry_bytes=10_000)
    assert code_of(package.write, tmp_path / "a.kkr", "room", {}, {"a": endless}, limits=limits) == "KK-F27"
    for tight in (
        package.Limits(package_bytes=100),
        package.Limits(entries=2),
        package.Limits(entry_bytes=500),
        package.Limits(manifest_bytes=100),
    ):
        assert code_of(package.open_package, path, tight) == "KK-F27"
    with package.open_package(path, package.Limits(read_bytes=500)) as opened:
        assert code_of(opened.read, "keys.bin") == "KK-F27"
        assert bytes(opened.view("keys.bin")) == ENTRIES["keys.bin"]
    assert code_of(package.Limits, entries=0) == "KK-F20"


def test_no_such_entry_lists_what_there_is(path: Path) -> None:
    with package.open_package(path) as opened, pytest.raises(KakuriError) as caught:
        opened.read("nothing")
    assert caught.value.code == "KK-F28"
    assert "net.onnx" in caught.value.problem.limit


def _zip(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def test_what_zipfile_would_accept_is_refused(tmp_path: Path, path: Path) -> None:
    good = path.read_bytes()
    head = zipfile.ZipFile(path).read("manifest.json")
    members = [("manifest.json", head), *sorted(ENTRIES.items())]
    local = good.index(b"keys.bin")
    hostile = {
        "repacked": _zip(*members),
        "compressed": _zip(*members, compression=zipfile.ZIP_DEFLATED),
        "prepended": b"#!/bin/sh\n" + good,
        "appended": good + b"x",
        "commented": good[:-2] + struct.pack("<H", 3) + b"hi!",
        "local name differs": good[:local] + b"keys.bim" + good[local + 8 :],
        "manifest only": _zip(("manifest.json", head)),
        "empty zip": _zip(),
        "empty": b"",
        "text": b"hello world" * 100,
    }
    for what, data in hostile.items():
        target = tmp_path / "hostile.kkr"
        target.write_bytes(data)
        assert code_of(package.open_package, target) in {"KK-F21", "KK-F22", "KK-F25"}, what


def _with_manifest(target: Path, head: bytes, others: dict[str, bytes]) -> None:
    """A package whose zip is in order and whose manifest is ``head``."""
    import zlib

    blobs = {"manifest.json": head, **others}
    plan = layout.plan_layout([layout.Record(name, len(data), zlib.crc32(data)) for name, data in blobs.items()])
    parts = [header + data for header, data in zip(plan.headers, blobs.values(), strict=True)]
    target.write_bytes(b"".join(parts) + plan.directory + plan.tail)


def test_the_manifest_has_one_encoding(tmp_path: Path) -> None:
    target = tmp_path / "m.kkr"
    entry = manifest.Entry("a", 1, hashlib.sha256(b"x").hexdigest())
    good = manifest.encode(manifest.Manifest("room", "kakuri 0", (entry,), {"k": [1]}))
    _with_manifest(target, good, {"a": b"x"})
    assert package.open_package(target).content == {"k": [1]}
    hostile = {
        "spaces": good.replace(b'"room":', b'"room": ').rstrip() + b" " * 3,
        "longer": good + b" ",
        "shorter": good.rstrip(),
        "exponent": good.replace(b"[1]", b"[1e0]"),
        "repeated key": good.replace(b'"k":[1]', b'"k":1,"k":[1]'),
        "nan": good.replace(b"[1]", b"[NaN]"),
        "deep": good.replace(b"[1]", b"[" * 70000 + b"]" * 70000),
        "huge number": good.replace(b"[1]", b"[" + b"9" * 5000 + b"]"),
        "not json": b"{" * 100,
        "a list": b"[]",
        "utf-16": good.decode().encode("utf-16"),
        "bool size": good.replace(b'"bytes":1', b'"bytes":true'),
        "path": good.replace(b'"name":"a"', b'"name":"../a"'),
    }
    for what, head in hostile.items():
        assert head != good, what
        _with_manifest(target, head, {"a": b"x"})
        assert code_of(package.open_package, target) == "KK-F25", what
    _with_manifest(target, good, {"b": b"x"})
    assert code_of(package.open_package, target) == "KK-F25"
    _with_manifest(target, good.replace(b'"version":1', b'"version":2'), {"a": b"x"})
    assert code_of(package.open_package, target) == "KK-F26"


def test_is_package(tmp_path: Path, path: Path) -> None:
    assert package.is_package(path)
    (tmp_path / "other").write_bytes(_zip(("a", b"")))
    assert not package.is_package(tmp_path / "other")


@given(
    st.lists(
        st.tuples(names, st.sampled_from([0, 1, 2**32 - 2, 2**32 - 1, 2**32, 2**33 + 7]), st.integers(0, 2**32 - 1)),
        max_size=6,
    )
)
def test_layout_survives_its_own_reader_also_beyond_4_gib(items: list[tuple[str, int, int]]) -> None:
    records = [layout.Record(*item) for item in items]
    plan = layout.plan_layout(records)
    tail = layout.read_tail((b"\0" * 100 + plan.directory + plan.tail)[-layout.TAIL64_BYTES :])
    assert (tail.entries, tail.directory_bytes, tail.directory_offset, tail.tail_bytes) == (
        len(records),
        len(plan.directory),
        plan.directory_offset,
        len(plan.tail),
    )
    assert layout.read_directory(plan.directory, tail.entries) == records
    assert all(offset % 64 == 0 for offset in plan.data_offsets)
    for record, start, offset in zip(records, plan.header_offsets, plan.data_offsets, strict=True):
        assert offset == layout.data_offset(record.name, start)


@pytest.mark.slow
def test_zipfile_reads_a_package_beyond_4_gib(tmp_path: Path) -> None:
    chunk = bytes(1 << 24)
    path = tmp_path / "large.kkr"
    package.write(path, "room", {}, {"a.bin": (chunk for _ in range(257)), "b.bin": b"behind it"})
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("a.bin").file_size == 257 << 24
        assert archive.read("b.bin") == b"behind it"
    with package.open_package(path) as opened:
        opened.verify()
        assert opened.view("b.bin") == b"behind it"

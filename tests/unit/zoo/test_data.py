"""Loaders and downloads: what is found where, what is verified, and errors that name both remedies."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

from kakuri.errors import KakuriError
from kakuri.zoo.data import Download, ImageDataset, load_cifar10, load_mnist
from kakuri.zoo.data.cifar10_archive import read_archive
from kakuri.zoo.data.cifar10_sheets import SHEETS, read_sheet
from kakuri.zoo.data.fetch import RemoteFile, _HttpsOnly, fetch, open_https
from kakuri.zoo.data.folders import cache_folder, data_folder
from kakuri.zoo.data.idx import write_idx
from kakuri.zoo.data.mnist import FILES

needs_data = pytest.mark.skipif(data_folder() is None, reason="KAKURI_DATA is not set")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No KAKURI_DATA, an empty cache; returns the cache folder."""
    monkeypatch.delenv("KAKURI_DATA", raising=False)
    monkeypatch.setenv("KAKURI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_mnist(folder: Path, *, packed: bool = True) -> None:
    """Four files of the right sizes, with the image's number in its first two pixels."""
    folder.mkdir(parents=True)
    for file, count in zip(FILES, (60_000, 60_000, 10_000, 10_000), strict=True):
        array = np.zeros((count, 28, 28) if "images" in file.name else count, dtype=np.uint8)
        if array.ndim == 3:
            array[:, 0, 0], array[:, 0, 1] = np.arange(count) // 256, np.arange(count) % 256
        else:
            array[:] = np.arange(count) % 10
        content = write_idx(array)
        name = file.name if packed else file.name.removesuffix(".gz")
        (folder / name).write_bytes(gzip.compress(content, 1) if packed else content)


@pytest.mark.parametrize("below", ["", "mnist"])
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_from_a_folder(offline: Path, tmp_path: Path, below: str, packed: bool) -> None:
    write_mnist(tmp_path / "here" / below, packed=packed)
    dataset = load_mnist(tmp_path / "here", download=False)
    assert dataset.train_images.shape == (60_000, 1, 28, 28)
    assert dataset.test_images.shape == (10_000, 1, 28, 28)
    assert dataset.test_images[777, 0, 0, :2].tolist() == [3, 9]
    assert dataset.train_labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_mnist_from_the_environment_and_the_cache(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(offline / "mnist")
    assert len(load_mnist(download=False).test_labels) == 10_000
    monkeypatch.setenv("KAKURI_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    for file in (offline / "mnist").iterdir():
        file.rename(tmp_path / "data" / "mnist" / file.name)
    assert len(load_mnist(download=False).test_labels) == 10_000


def test_mnist_files_that_are_not_mnist(offline: Path, tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist")
    swapped = (tmp_path / "mnist" / FILES[0].name, tmp_path / "mnist" / FILES[2].name)
    swapped[0].write_bytes(swapped[1].read_bytes())
    with pytest.raises(KakuriError) as refused:
        load_mnist(tmp_path)
    assert refused.value.code == "KK-D12"
    swapped[0].write_bytes(bytes(50_000_000))
    with pytest.raises(KakuriError) as refused:
        load_mnist(tmp_path)
    assert refused.value.code == "KK-F13"


@pytest.mark.parametrize("load", [load_mnist, load_cifar10])
def test_the_error_names_both_ways(offline: Path, tmp_path: Path, load) -> None:
    for arguments in ({"folder": tmp_path}, {"download": False}):
        with pytest.raises(KakuriError) as refused:
            load(**arguments)
        assert refused.value.code == "KK-D20"
        assert "KAKURI_DATA" in refused.value.problem.hint
        assert "download" in refused.value.problem.hint
    assert not offline.exists()


def test_cache_folder_follows_the_environment() -> None:
    assert cache_folder({"KAKURI_CACHE": "/a"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/kakuri")
    assert cache_folder({}) == Path.home() / ".cache" / "kakuri"


CONTENT = bytes(range(256)) * 1000
REMOTE = RemoteFile("x.bin", ("https://a/x", "https://b/x"), len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Serving:
    """Addresses that deliver the given bytes, or raise the given error; remembers which were asked."""

    def __init__(self, **answers: bytes | Exception) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, url: str, timeout_seconds: float) -> IO[bytes]:
        host = url.split("/")[2]
        self.asked.append(host)
        answer = self.answers[host]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)


def test_fetch_verifies_and_reports(tmp_path: Path) -> None:
    seen: list[Download] = []
    path = fetch(REMOTE, tmp_path / "new" / "folder", seen.append, Serving(a=CONTENT))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == Download("x.bin", len(CONTENT), len(CONTENT))
    assert [file.name for file in path.parent.iterdir()] == ["x.bin"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (urllib.error.URLError("no route"), "KK-D21"),
        (TimeoutError("slow"), "KK-D21"),
        (CONTENT[:-1], "KK-D22"),
        (CONTENT + b"x", "KK-D22"),
        (CONTENT[:-1] + b"x", "KK-D22"),
        (b"", "KK-D22"),
    ],
)
def test_fetch_tries_the_next_address_and_reports_each(tmp_path: Path, answer: bytes | Exception, code: str) -> None:
    both = Serving(a=answer, b=answer)
    with pytest.raises(KakuriError) as refused:
        fetch(REMOTE, tmp_path, None, both)
    assert [problem.code for problem in refused.value.problems] == [code, code]
    assert [problem.where for problem in refused.value.problems] == list(REMOTE.urls)
    assert list(tmp_path.iterdir()) == []
    second = Serving(a=answer, b=CONTENT)
    assert fetch(REMOTE, tmp_path, None, second).read_bytes() == CONTENT
    assert second.asked == ["a", "b"]


def test_fetch_stops_reading_an_endless_answer(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        given_bytes = 0

        def read(self, size: int = -1) -> bytes:
            self.given_bytes += size
            return bytes(size)

    endless = Endless()
    with pytest.raises(KakuriError):
        fetch(RemoteFile("x", ("https://a/x",), 1000, ""), tmp_path, None, lambda url, timeout_seconds: endless)
    assert endless.given_bytes <= 1000 + (1 << 17)


def test_fetch_into_an_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KakuriError) as refused:
        fetch(REMOTE, tmp_path / "file", None, Serving(a=CONTENT, b=CONTENT))
    assert refused.value.code == "KK-D23"


def test_only_https() -> None:
    for url in ("http://example.org/x", "file:///etc/hosts", "ftp://example.org/x"):
        with pytest.raises(urllib.error.URLError):
            open_https(url, 1.0)
    request = urllib.request.Request("https://example.org/x")
    with pytest.raises(urllib.error.URLError, match="away from https"):
        _HttpsOnly().redirect_request(request, io.BytesIO(), 302, "", {}, "http://example.org/x")  # type: ignore[arg-type]


def write_archive(path: Path, *, lacking: str = "", short: str = "", extra_members: int = 0) -> None:
    """The official layout, with the record's number in its label and first pixel of each plane."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(6):
            name = f"cifar-10-batches-bin/{f'data_batch_{number + 1}' if number < 5 else 'test_batch'}.bin"
            if name.endswith(f"{lacking}.bin") and lacking:
                continue
            records = np.zeros((10_000, 3073), dtype=np.uint8)
            records[:, 0] = (np.arange(10_000) + number) % 10
            records[:, 1], records[:, 1025], records[:, 2049] = number, 100 + number, np.arange(10_000) % 251
            content = records.tobytes()[: -1 if short and short in name else None]
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for number in range(extra_members):
            archive.addfile(tarfile.TarInfo(f"cifar-10-batches-bin/{number}.txt"))


def test_cifar_archive(offline: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "cifar-10-binary.tar.gz", extra_members=2)
    dataset = load_cifar10(tmp_path)
    assert dataset.train_images.shape == (50_000, 3, 32, 32)
    assert dataset.test_images.shape == (10_000, 3, 32, 32)
    assert dataset.train_images[23_456, :, 0, 0].tolist() == [2, 102, 3456 % 251]
    assert dataset.train_images[23_456, :, 0, 1:].max() == 0
    assert dataset.train_labels[23_456] == (3456 + 2) % 10
    assert dataset.test_labels[0] == 5


@pytest.mark.parametrize("damage", ["lacking", "short", "crowded", "cut", "noise", "empty"])
def test_damaged_cifar_archives_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    if damage == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(10_000))
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        options = {
            "lacking": {"lacking": "data_batch_3"},
            "short": {"short": "batch_4"},
            "crowded": {"extra_members": 99},
        }
        write_archive(path, **options.get(damage, {}))
        if damage == "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(KakuriError) as refused:
        read_archive(path)
    assert refused.value.code == "KK-D11"


def test_a_sheet_is_25_rows_of_40(tmp_path: Path) -> None:
    """Image 40 r + c has the colour (r, c, 7), and its top left pixel is white."""
    pixels = np.zeros((25, 32, 40, 32, 3), dtype=np.uint8)
    pixels[..., 0] = np.arange(25)[:, None, None, None]
    pixels[..., 1] = np.arange(40)[None, None, :, None]
    pixels[..., 2] = 7
    pixels[:, 0, :, 0] = 255
    Image.fromarray(pixels.reshape(800, 1280, 3)).save(tmp_path / "s.webp", lossless=True, quality=0, method=0)
    images = read_sheet(tmp_path / "s.webp")
    assert images.shape == (1000, 3, 32, 32)
    for number in (0, 39, 40, 999):
        assert images[number, :, 5, 9].tolist() == [number // 40, number % 40, 7]
        assert images[number, :, 0, 0].tolist() == [255, 255, 255]


def test_damaged_sheets_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.webp"
    Image.new("RGB", (64, 64)).save(path, lossless=True)
    small = path.read_bytes()
    for content in (small, small[:40], b"", b"RIFF" + bytes(100), bytes(9_000_000)):
        path.write_bytes(content)
        with pytest.raises(KakuriError) as refused:
            read_sheet(path)
        assert refused.value.code == ("KK-D11" if len(content) < 8_000_000 else "KK-F13")


def test_damaged_labels_are_refused(offline: Path, tmp_path: Path) -> None:
    for name in SHEETS:
        (tmp_path / name).write_bytes(b"not a file of that kind")
    good = {name: np.zeros(n, np.uint8) for name, n in (("train", 50_000), ("test", 10_000))}
    flags = {f"{name}_lossless": np.ones(len(array), bool) for name, array in good.items()}
    pickled = np.array([{"a": 1}], dtype=object)
    cases: list[dict[str, np.ndarray]] = [
        {},
        good,
        good | flags | {"train": np.zeros(49_999, np.uint8)},
        good | flags | {"test": np.zeros(10_000, np.int64)},
        good | flags | {"train": pickled},
        good | flags | {"more": np.zeros(2_000_000, np.uint8)},
    ]
    for arrays in (None, *cases):
        if arrays is not None:
            np.savez_compressed(tmp_path / "labels.npz", **arrays)
        with pytest.raises(KakuriError, match=r"labels\.npz") as refused:
            load_cifar10(tmp_path)
        assert refused.value.code == "KK-D11"


def test_dataset_checks_everything_at_once() -> None:
    images, labels = np.zeros((3, 1, 2, 2), np.uint8), np.array([0, 1, 10])
    with pytest.raises(KakuriError) as refused:
        ImageDataset("x", images.astype(np.float32), labels, images[0], labels[:2], "")
    assert [problem.code for problem in refused.value.problems] == ["KK-D01"] * 4
    with pytest.raises(KakuriError, match="label out of range"):
        ImageDataset("x", images, labels, images, labels, "")


def test_holding_out_never_shows_the_test_part() -> None:
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    dataset = ImageDataset("x", images, np.arange(10), images + 100, np.arange(10), "somewhere")
    part = dataset.hold_out(3)
    assert part.train_images.ravel().tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert part.test_images.ravel().tolist() == [7, 8, 9]
    assert part.test_labels.tolist() == [7, 8, 9]
    assert "held out" in part.name
    for count in (0, 10, -1):
        with pytest.raises(KakuriError) as refused:
            dataset.hold_out(count)
        assert refused.value.code == "KK-D02"


def test_digest_is_the_arrays_bytes() -> None:
    images = np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2)
    turned = np.asfortranarray(images)
    labels = np.array([0, 1])
    expected = hashlib.sha256(bytes(range(8))).hexdigest()
    assert ImageDataset("x", images, labels, turned, labels, "").digests()["train_images"] == expected
    assert ImageDataset("x", images, labels, turned, labels, "").digests()["test_images"] == expected


@needs_data
@pytest.mark.needs_data
def test_the_real_mnist() -> None:
    """Label counts as published on the MNIST page's many mirrors; mean 0.1307 and deviation 0.3081 as widely used."""
    dataset = load_mnist(download=False)
    assert np.bincount(dataset.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(dataset.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert dataset.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert dataset.train_images.std() / 255 == pytest.approx(0.3081, abs=5e-5)


@needs_data
@pytest.mark.needs_data
def test_the_real_cifar10() -> None:
    """Means 0.4914, 0.4822, 0.4465 of the red, green and blue training pixels are widely published."""
    dataset = load_cifar10(download=False)
    assert np.bincount(dataset.train_labels).tolist() == [5000] * 10
    assert np.bincount(dataset.test_labels).tolist() == [1000] * 10
    means = dataset.train_images.mean((0, 2, 3)) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=2e-4)
    assert dataset.test_labels[:4].tolist() == [3, 8, 8, 0]

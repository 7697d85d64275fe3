"""Ray places offload workers on the machines of a cluster.

Purpose: start ``kakuri.offload.worker`` where Ray has room; the master then talks to each over TLS as to any other.
``kakuri worker place`` calls it. Never call it in the master: Ray unpickles what the cluster answers, and who controls
the cluster controls the process that asks it. The master reads addresses and certificates, which are text.
Guarantees: Ray carries the master's certificate there and addresses and certificates of the workers back, and nothing
else: no key of the training, no blinded value. A worker makes its identity on its own machine and ends with its actor.
Does not guarantee: that the cluster starts what it is asked to; workers are untrusted wherever they run. For T3 a
cluster is one owner: its workers must count as colluding.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.offload.transport.identity import MAX_FILE_BYTES, create

_START_SECONDS = 300.0


class _Host:
    """The actor: one worker process on whatever machine it finds itself."""

    def __init__(self, master: bytes, device: str, threads: int) -> None:
        host = _node_address()
        folder = Path(tempfile.mkdtemp(prefix="kakuri-worker-"))
        certificate, _ = create(folder / "worker", "worker")
        (folder / "master.crt").write_bytes(master)
        command = [sys.executable, "-m", "kakuri.offload.worker", "--device", device, "--threads", str(threads)]
        listen = ["--listen", f"[{host}]:0" if ":" in host else f"{host}:0", "--attached"]
        files = ["--identity", str(folder / "worker"), "--master", str(folder / "master.crt")]
        self._process = subprocess.Popen(
            [*command, *listen, *files],
            stdin=subprocess.PIPE,  # closes when the actor ends, however it ends
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._address = self._process.stdout.readline().rpartition(" ")[2].strip()
        self._certificate = certificate.read_bytes()

    def found(self) -> tuple[str, bytes]:
        """The address, empty when the worker did not start, and the certificate to pin."""
        return self._address, self._certificate


def _node_address() -> str:
    """Of the machine that this actor runs on, as the cluster's other machines reach it."""
    import ray  # noqa: PLC0415  (only in an actor)

    node: Any = ray.util  # has no types
    return str(node.get_node_ip_address())


@contextlib.contextmanager
def place_on_ray(
    count: int,
    master: Path | str,
    pinned: Path | str,
    *,
    cpus: float = 1.0,
    gpus: float = 0.0,
    threads: int = 1,
) -> Iterator[str]:
    """Starts ``count`` workers; they end with the block. Yields what ``plan(workers=)`` takes.

    master: the master's certificate. pinned: the file to write the workers' certificates to, for ``TlsCredentials``.
    cpus, gpus: of each worker. Uses the running Ray, or ``ray.init()``'s own choice.
    Raises KK-O01 without Ray, KK-O21 when a worker does not start, KK-F10 and KK-F12.
    """
    try:
        import ray  # noqa: PLC0415  (optional)
    except ModuleNotFoundError as error:
        raise KakuriError(
            "KK-O01", "Ray is not installed", where="kakuri.offload.cluster", hint='pip install "kakuri[ray]"'
        ) from error
    certificate = read_bounded(master, limit_bytes=MAX_FILE_BYTES)
    device = "cuda" if gpus else "cpu"
    host: Any = ray.remote(num_cpus=cpus, num_gpus=gpus)(_Host)
    actors = []
    try:
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False)
        actors = [host.remote(certificate, device, threads) for _ in range(count)]
        found = ray.get([actor.found.remote() for actor in actors], timeout=_START_SECONDS)
        failed = sum(not address for address, _ in found)
        if failed:
            raise KakuriError("KK-O21", "workers did not start", where="Ray", got=failed, limit=0)
        with atomic_write(pinned) as file:
            file.write(b"".join(item for _, item in found))
        yield ",".join(f"tls://{address}" for address, _ in found)
    finally:
        for actor in actors:
            ray.kill(actor)

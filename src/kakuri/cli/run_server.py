"""The server's side of ``kakuri run``: computing on ciphertexts.

Guarantees: takes no secret key and no input in the clear; no module that can hold a secret key is loaded.
"""

from __future__ import annotations

import time
from pathlib import Path

from kakuri import package as packages
from kakuri.cli.inputs import MAX_FILE_BYTES
from kakuri.cli.kinds import Kind, refuse_secret, wrong_kind
from kakuri.cli.output import Output, facts
from kakuri.cli.run_targets import Target, shown
from kakuri.encrypted import DiagonalsCache, Query, Server
from kakuri.errors import KakuriError
from kakuri.files import read_bounded
from kakuri.units import bytes_text, seconds_text
from kakuri.zoo.data.folders import cache_folder


def run_server(output: Output, file: Path, given: dict[Path, Kind], target: Target, threads: int | None) -> None:
    for path, kind in given.items():
        if kind is Kind.SECRET:
            raise refuse_secret(path)
        if kind is not Kind.QUERY:
            hint = "encrypt it on the client first: kakuri run client.kkey INPUT -o query.kkq"
            raise wrong_kind(path, kind, "an encrypted query", hint)
    with packages.open_package(file) as opened:
        room = opened.room
    if room != "encrypted":
        raise KakuriError("KK-F48", "this version cannot run packages of that room", where=file, got=room)
    paths = target.names(len(given), "kka")
    seconds, total_bytes = 0.0, 0
    with output.progress("loading the package") as step:
        start = time.perf_counter()
        server = Server.load(file, threads=threads, cache=DiagonalsCache(cache_folder() / "diagonals"))
        load_seconds = time.perf_counter() - start
        for index, (source, path) in enumerate(zip(given, paths, strict=True)):
            query = Query.from_bytes(read_bounded(source, limit_bytes=MAX_FILE_BYTES))

            def moved(done: int, of: int, index: int = index) -> None:
                step(f"computing on ciphertexts, query {index + 1} of {len(given)}", (index + done / of) / len(given))

            answer = server.run(query, progress=moved).to_bytes()
            target.write(path, answer)
            total_bytes += len(answer)
            seconds += server.last_profile.seconds() if server.last_profile else 0.0
    data = {
        "answers": [str(path) for path in paths],
        "bytes": total_bytes,
        "seconds": seconds,
        "load_seconds": load_seconds,
    }
    what = "1 encrypted answer" if len(paths) == 1 else f"{len(paths)} encrypted answers"
    output.result(
        data, facts({shown(paths): f"{what}, {bytes_text(total_bytes)}, computed in {seconds_text(seconds)}"})
    )

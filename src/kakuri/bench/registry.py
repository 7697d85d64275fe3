"""The benchmarks by name."""

from __future__ import annotations

import importlib
from typing import Any

from kakuri.bench.rows import Options, Row, machine
from kakuri.errors import KakuriError

_BENCHMARKS = {
    "encrypted-mnist": "kakuri.bench.encrypted_mnist",
    "encrypted-cifar10": "kakuri.bench.encrypted_cifar10",
    "encrypted-threads": "kakuri.bench.encrypted_threads",
    "encrypted-throughput": "kakuri.bench.encrypted_throughput",
    "codegen": "kakuri.bench.codegen",
    "codegen-threads": "kakuri.bench.codegen_threads",
    "codegen-levels": "kakuri.bench.codegen_levels",
    "codegen-arm64": "kakuri.bench.codegen_arm64",
    "codegen-numerics": "kakuri.bench.codegen_numerics",
    "enclave-lenet": "kakuri.bench.enclave_lenet",
    "enclave-loading": "kakuri.bench.enclave_loading",
    "offload-training": "kakuri.bench.offload_training",
    "offload-blinding": "kakuri.bench.offload_blinding",
    "offload-integrity": "kakuri.bench.offload_integrity",
    "personal-lfw": "kakuri.bench.personal_lfw",
    "personal-digits": "kakuri.bench.personal_digits",
}


def names() -> list[str]:
    return list(_BENCHMARKS)


def run(name: str, options: Options) -> dict[str, Any]:
    """The whole benchmark as one JSON-ready object. Raises KK-C20 for an unknown name."""
    if name not in _BENCHMARKS:
        raise KakuriError(
            "KK-C20", "unknown benchmark", got=name, limit=", ".join(_BENCHMARKS), hint="kakuri bench --list"
        )
    rows: list[Row] = importlib.import_module(_BENCHMARKS[name]).run(options)
    return {"name": name, "machine": machine(options.threads), "rows": [row.to_dict() for row in rows]}

"""The files of the emitted project that depend on the network.

Purpose: configuration headers, OP-TEE's header of the application, build files; the digest of the code.
Guarantees: the same plan gives the same bytes; the application's UUID is made from its code's digest, so that another
network is another application.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from kakuri.codegen import CodegenPlan
from kakuri.codegen.project import COMMON_FLAGS, sources
from kakuri.enclave.fixed_code import Files, digest_of, generated_sources, layout_header, packaged
from kakuri.enclave.index import TAG_BYTES, Tensor
from kakuri.trust.signing import SignerPublic

TRUSTED = ("crypto.c", "entry.c", "gcm.c", "infer.c", "package.c", "storage.c")
HEAP_BYTES = 16 << 10
"""For the handles of OP-TEE's library; the application has no heap of its own."""
TA_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
_NAMESPACE = uuid.UUID("6f1d2c3e-7a55-4d0e-9a64-1f5b8f0c2d11")


def trusted_sources() -> dict[str, bytes]:
    """Name -> content of the fixed part of the application."""
    return packaged("optee/ta", (*TRUSTED, "trusted.h")) | layout_header()


def api_headers() -> dict[str, bytes]:
    """Declarations for where there is no dev kit; no part of an emitted project."""
    return packaged("optee/api", ("tee_internal_api.h", "tee_client_api.h"))


def units(code: CodegenPlan) -> dict[str, tuple[str, ...]]:
    """Source of the application -> compiler flags."""
    generated = sources(code.target, code.entry, code.form)
    return {unit: (*COMMON_FLAGS, *flags) for unit, flags in generated.items()} | dict.fromkeys(TRUSTED, TA_FLAGS)


def code_digest(files: Files, answer: str) -> bytes:
    """SHA-256 over generated code, fixed code and the answer's form: what the application compares the index with."""
    return digest_of({**generated_sources(files), **trusted_sources(), "answer": answer.encode()})


def application_id(digest: bytes) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, digest.hex())


def ta_config(
    code: CodegenPlan, tensors: Sequence[Tensor], signer: SignerPublic, digest: bytes, answer: Sequence[str]
) -> bytes:
    """``ta_config.h``. answer: the lines that define KK_ANSWER."""
    program = code.program
    inputs, outputs = ([v.storage.size_bytes for v in views] for views in (program.inputs, program.outputs))
    lines = [
        "#define KK_ANSWER_FULL 0",
        "#define KK_ANSWER_ROUNDED 1",
        "#define KK_ANSWER_LABEL 2",
        *answer,
        f'#include "{code.entry}.h"',
        f"#define KK_WEIGHTS_BYTES {code.entry.upper()}_WEIGHTS_BYTES",
        f"#define KK_ARENA_BYTES {max(program.arena_bytes, 64)}",
        f"#define KK_TENSORS {len(tensors)}",
        f"#define KK_CIPHERTEXT_BYTES {ciphertext_bytes(tensors)}",
        f"#define KK_INPUTS {len(inputs)}",
        f"#define KK_OUTPUTS {len(outputs)}",
        f"#define KK_INPUT_BYTES {sum(inputs)}",
        f"#define KK_OUTPUT_BYTES {sum(outputs)}",
        f"#define KK_INPUT_SIZES {_array(inputs)}",
        f"#define KK_OUTPUT_SIZES {_array(outputs)}",
        f"#define KK_CODE_DIGEST {_array(digest)}",
        f"#define KK_SIGNER_POINT {_array(signer.point[1:])}",
        "",
    ]
    return "\n".join(lines).encode()


def client_config(
    application: uuid.UUID, input_bytes: int, answer_bytes: int, sealed_bytes: int, guarantee: str
) -> bytes:
    """``client_config.h``. guarantee: one line of plain text."""
    fields = application.fields
    node = application.bytes[8:]
    lines = [
        f"#define KK_UUID {{0x{fields[0]:08x}, 0x{fields[1]:04x}, 0x{fields[2]:04x}, {_array(node)}}}",
        f"#define KK_INPUT_BYTES {input_bytes}",
        f"#define KK_ANSWER_BYTES {answer_bytes}",
        f"#define KK_SEALED_BYTES {sealed_bytes}",
        f'#define KK_GUARANTEE "{guarantee}"',
        "",
    ]
    return "\n".join(lines).encode()


def application_header(application: uuid.UUID, stack_bytes: int) -> bytes:
    """OP-TEE wants this file under this name."""
    fields = application.fields
    lines = [
        "#ifndef USER_TA_HEADER_DEFINES_H",
        "#define USER_TA_HEADER_DEFINES_H",
        f"#define TA_UUID {{0x{fields[0]:08x}, 0x{fields[1]:04x}, 0x{fields[2]:04x}, {_array(application.bytes[8:])}}}",
        "#define TA_FLAGS (TA_FLAG_SINGLE_INSTANCE | TA_FLAG_MULTI_SESSION | TA_FLAG_INSTANCE_KEEP_ALIVE)",
        f"#define TA_STACK_SIZE {stack_bytes}",
        f"#define TA_DATA_SIZE {HEAP_BYTES}",
        '#define TA_DESCRIPTION "Kakuri: the inner layers of a network"',
        '#define TA_VERSION "1"',
        "#endif",
        "",
    ]
    return "\n".join(lines).encode()


def build_files(code: CodegenPlan, application: uuid.UUID) -> dict[str, bytes]:
    """Make files: ``ta/`` against the dev kit, ``host/`` against the client library."""
    sub = [
        "global-incdirs-y += .",
        *(
            line
            for unit, flags in units(code).items()
            for line in (f"srcs-y += {unit}", f"cflags-{unit}-y += {' '.join(flags)}")
        ),
        "",
    ]
    ta = [
        "# make TA_DEV_KIT_DIR=.../export-ta_arm64 CROSS_COMPILE=aarch64-linux-gnu-",
        f"BINARY = {application}",
        "include $(TA_DEV_KIT_DIR)/mk/ta_dev_kit.mk",
        "",
    ]
    host = [
        "# make CROSS_COMPILE=aarch64-linux-gnu- TEEC_EXPORT=.../optee_client/export/usr",
        "CC = $(CROSS_COMPILE)gcc",
        "CFLAGS += -std=c11 -O2 -Wall -Wextra -I. -I$(TEEC_EXPORT)/include",
        "LDLIBS += -L$(TEEC_EXPORT)/lib -lteec",
        "client: client.o main.o",
        "\t$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)",
        "clean:",
        "\trm -f client *.o",
        "",
    ]
    texts = {"ta/sub.mk": sub, "ta/Makefile": ta, "host/Makefile": host}
    return {name: "\n".join(lines).encode() for name, lines in texts.items()}


def host_sources() -> dict[str, bytes]:
    return packaged("optee/host", ("client.c", "client.h", "main.c"))


def ciphertext_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.size_bytes + TAG_BYTES for tensor in tensors)


def _array(numbers: Sequence[int] | bytes) -> str:
    return "{" + ", ".join(str(number) for number in numbers) + "}"

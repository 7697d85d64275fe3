"""The adapter for the GlobalPlatform TEE API opens the same blob: run on the host implementation of that API."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import kakuri as kk
from kakuri import enclave
from tests.unit.codegen.test_levels import KEY, image, plan

API = Path(enclave.__file__).parent / "optee" / "api"
HOST = Path(__file__).parents[1] / "enclave" / "optee_host"
PROGRAM = """
#include "infer.h"
#include <stdio.h>
#include <tee_internal_api.h>
int kk_open_tee(void *, const void *, size_t, const void *, size_t, void *);
static unsigned char arena[INFER_ARENA_BYTES] __attribute__((aligned(64))), key[32], x[INFER_INPUT_0_BYTES];
static unsigned char y[INFER_OUTPUT_0_BYTES];
int main(void)
{
    TEE_Attribute secret;
    TEE_ObjectHandle object;
    TEE_OperationHandle gcm;
    const void *in[] = {x};
    void *out[] = {y};
    if (fread(key, 1, 32, stdin) != 32 || fread(x, 1, sizeof x, stdin) != sizeof x)
        return 99;
    TEE_AllocateTransientObject(TEE_TYPE_AES, 256, &object);
    TEE_InitRefAttribute(&secret, TEE_ATTR_SECRET_VALUE, key, 32);
    TEE_PopulateTransientObject(object, &secret, 1);
    TEE_AllocateOperation(&gcm, TEE_ALG_AES_GCM, TEE_MODE_DECRYPT, 256);
    TEE_SetOperationKey(gcm, object);
    int code = infer(in, out, arena, sizeof arena, kk_open_tee, gcm);
    fwrite(y, 1, sizeof y, stdout);
    return code;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, kk.codegen.Source]:
    if not Path("/usr/include/openssl/evp.h").exists():
        pytest.skip("libssl-dev is not installed: the host's TEE is made of libcrypto")
    folder = tmp_path_factory.mktemp("tee")
    source = plan(4).build(folder)
    (folder / "tee_main.c").write_text(PROGRAM)
    units = [name for name, _ in source.project.sources] + ["open_tee.c", "tee_main.c", str(HOST / "tee.c")]
    flags = [*source.project.common_flags, "-w", f"-I{API}", f"-I{folder}", "-Wa,-I."]
    subprocess.run(["cc", *flags, *units, "-o", "tee_main", "-lcrypto"], cwd=folder, check=True)
    return folder / "tee_main", source


def run(program: Path, key: bytes) -> tuple[int, np.ndarray]:
    done = subprocess.run([program], input=key + image().tobytes(), capture_output=True, check=False)
    return done.returncode, np.frombuffer(done.stdout, np.float32)


def test_the_tee_opens_what_libcrypto_opens(program: tuple[Path, kk.codegen.Source]) -> None:
    code, outputs = run(program[0], KEY)
    assert code == 0
    assert np.array_equal(outputs, program[1].run(image())[0].reshape(-1))


def test_another_key_is_refused(program: tuple[Path, kk.codegen.Source]) -> None:
    code, outputs = run(program[0], bytes(32))
    assert code == 6
    assert not outputs.any()

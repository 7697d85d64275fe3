/* usage: fuzz PACKAGE INPUTS COUNT SEED
   Changed packages (a fifth), boundary tensors and parameters against the entry points, COUNT in all. Ends with 1 and a line when
   a changed package loads, when anything is computed before one loaded, or when an answer holds no number. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trusted.h"

void tee_keep(const char *path, int write);
enum { KEY = 0, LOAD = 1, INVOKE = 2, ATTEST = 3 };
static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

static unsigned char *read_file(const char *name, size_t *bytes)
{
    FILE *file = fopen(name, "rb");
    unsigned char *data = malloc(1 << 24);
    *bytes = file ? fread(data, 1, 1 << 24, file) : 0;
    if (!*bytes)
        exit(3);
    fclose(file);
    return realloc(data, *bytes);
}

static TEE_Result call(uint32_t command, uint32_t types, const void *in, size_t in_bytes, unsigned char *out, size_t *out_bytes)
{
    TEE_Param params[4];
    memset(params, 0, sizeof params);
    unsigned char *copy = in ? malloc(in_bytes ? in_bytes : 1) : NULL;
    if (copy)
        memcpy(copy, in, in_bytes);
    params[0].memref.buffer = command == KEY ? out : copy;
    params[0].memref.size = command == KEY ? *out_bytes : in_bytes;
    params[1].memref.buffer = out;
    params[1].memref.size = *out_bytes;
    TEE_Result result = TA_InvokeCommandEntryPoint(NULL, command, types, params);
    *out_bytes = params[command == KEY ? 0 : 1].memref.size;
    free(copy);
    return result;
}

static void fail(const char *what)
{
    printf("%s\n", what);
    exit(1);
}

static const uint32_t LOADS = TEE_PARAM_TYPES(5, 0, 0, 0), INVOKES = TEE_PARAM_TYPES(5, 6, 0, 0);

static TEE_Result load(const unsigned char *package, size_t bytes)
{
    size_t none = 0;
    return call(LOAD, LOADS, package, bytes, NULL, &none);
}

static TEE_Result invoke(const unsigned char *inputs, size_t bytes, size_t out_bytes)
{
    unsigned char *out = malloc(out_bytes ? out_bytes : 1);
    size_t written = out_bytes;
    memset(out, 0xff, out_bytes);
    TEE_Result result = call(INVOKE, INVOKES, inputs, bytes, out, &written);
    if (result == TEE_SUCCESS && written > out_bytes)
        fail("an answer longer than its buffer");
    for (size_t at = 0; result == TEE_SUCCESS && KK_ANSWER != KK_ANSWER_LABEL && at < written; at += 4) {
        float value;
        memcpy(&value, out + at, 4);
        if (!isfinite(value))
            fail("an answer that is no number");
    }
    free(out);
    return result;
}

static void change(unsigned char *data, size_t bytes, size_t first)
{
    size_t at = first + draw((uint32_t)(bytes - first)), count = 1 + draw(8);
    for (size_t i = at; i < at + count && i < bytes; i++)
        data[i] ^= (unsigned char)(1 + draw(255));
}

static void changed_package(const unsigned char *package, size_t bytes, const unsigned char *inputs)
{
    size_t length = draw(20) ? bytes : draw((uint32_t)(2 * bytes));
    unsigned char *copy = calloc(1, length > bytes ? length : bytes);
    memcpy(copy, package, bytes);
    if (length == bytes)
        change(copy, draw(2) && bytes > INDEX_BYTES + SIGNATURE_BYTES ? bytes : INDEX_BYTES + SIGNATURE_BYTES, 0);
    if (load(copy, length) == TEE_SUCCESS)
        fail("a changed package loads");
    if (invoke(inputs, KK_INPUT_BYTES, KK_OUTPUT_BYTES) != TEE_ERROR_BAD_STATE)
        fail("computed without a package");
    free(copy);
}

static void changed_boundary(const unsigned char *inputs)
{
    unsigned char copy[3 * KK_INPUT_BYTES];
    size_t count = 1 + draw(3), bytes = count * KK_INPUT_BYTES;
    for (size_t i = 0; i < count; i++)
        memcpy(copy + i * KK_INPUT_BYTES, inputs, KK_INPUT_BYTES);
    for (uint32_t i = draw(16); i > 0; i--)
        change(copy, bytes, 0);
    if (draw(16) == 0)
        for (size_t i = 0; i < bytes; i++)
            copy[i] = (unsigned char)draw(256);
    TEE_Result result = invoke(copy, bytes, count * KK_OUTPUT_BYTES);
    if (result != TEE_SUCCESS && result != TEE_ERROR_BAD_FORMAT && result != TEE_ERROR_OVERFLOW)
        fail("an unexpected refusal of a boundary tensor");
}

static void changed_parameters(const unsigned char *inputs)
{
    unsigned char out[64];
    size_t out_bytes = draw(sizeof out + 1), bytes = draw(KK_INPUT_BYTES);
    switch (draw(5)) {
    case 0: /* lengths that fit nothing */
        if (bytes && invoke(inputs, bytes, KK_OUTPUT_BYTES) == TEE_SUCCESS)
            fail("a part of a sample was computed");
        break;
    case 1:
        if (invoke(inputs, KK_INPUT_BYTES, draw(4)) != TEE_ERROR_SHORT_BUFFER)
            fail("a short buffer was not refused");
        break;
    case 2: { /* nonces that are none, and a digest without room */
        size_t nonce_bytes = draw(KK_INPUT_BYTES < 64 ? KK_INPUT_BYTES : 64);
        TEE_Result wanted = out_bytes < 32 ? TEE_ERROR_SHORT_BUFFER : TEE_SUCCESS;
        TEE_Result result = call(ATTEST, INVOKES, inputs, nonce_bytes, out, &out_bytes);
        if (result != (nonce_bytes == 32 ? wanted : TEE_ERROR_BAD_PARAMETERS))
            fail("an unexpected answer to a nonce");
        break;
    }
    case 3: {
        uint32_t types = draw(1 << 16), command = draw(5);
        if (types == INVOKES || types == LOADS || types == TEE_PARAM_TYPES(6, 0, 0, 0))
            break;
        if (call(command, types, inputs, KK_INPUT_BYTES, out, &out_bytes) != TEE_ERROR_BAD_PARAMETERS)
            fail("wrong types of parameters were not refused");
        break;
    }
    default: { /* no memory behind a reference */
        size_t none = 0;
        if (call(INVOKE, INVOKES, NULL, 0, NULL, &none) != TEE_ERROR_BAD_PARAMETERS)
            fail("nothing was taken for something");
        break;
    }
    }
}

int main(int argc, char **argv)
{
    size_t package_bytes, input_bytes;
    if (argc != 5)
        return 2;
    tee_keep(getenv("KAKURI_TEST_DEVICE"), 0);
    unsigned char *package = read_file(argv[1], &package_bytes), *inputs = read_file(argv[2], &input_bytes);
    long count = atol(argv[3]);
    state = 0x9e3779b97f4a7c15ull ^ (uint64_t)atol(argv[4]);
    if (input_bytes < KK_INPUT_BYTES)
        return 3;
    for (long i = 0; i < count / 5; i++)
        changed_package(package, package_bytes, inputs);
    if (load(package, package_bytes) != TEE_SUCCESS || invoke(inputs, KK_INPUT_BYTES, KK_OUTPUT_BYTES) != TEE_SUCCESS)
        fail("the whole package does not load");
    for (long i = count / 5; i < count; i++)
        (i % 8 ? changed_boundary : changed_parameters)(inputs);
    if (load(NULL, 0) == TEE_SUCCESS || load(package, package_bytes - 1) == TEE_SUCCESS || invoke(inputs, KK_INPUT_BYTES, KK_OUTPUT_BYTES) != TEE_ERROR_BAD_STATE)
        fail("a refused package leaves the one before it");
    free(package);
    free(inputs);
    printf("%ld refused or answered\n", count);
    return 0;
}

#include "client.h"

#include <string.h>

enum command { KEY = 0, LOAD = 1, INVOKE = 2, ATTEST = 3 };

static uint32_t share(struct kk_client *client, TEEC_SharedMemory *memory, size_t bytes, uint32_t flags)
{
    memset(memory, 0, sizeof *memory);
    memory->size = bytes;
    memory->flags = flags;
    return TEEC_AllocateSharedMemory(&client->context, memory);
}

uint32_t kk_open(struct kk_client *client, size_t samples)
{
    static const TEEC_UUID application = KK_UUID;
    uint32_t origin;
    if (samples == 0 || samples > SIZE_MAX / (KK_INPUT_BYTES + KK_ANSWER_BYTES))
        return TEEC_ERROR_BAD_PARAMETERS;
    size_t in_bytes = samples * KK_INPUT_BYTES, out_bytes = samples * KK_ANSWER_BYTES;
    uint32_t result = TEEC_InitializeContext(NULL, &client->context);
    if (result != TEEC_SUCCESS)
        return result;
    result = TEEC_OpenSession(&client->context, &client->session, &application, TEEC_LOGIN_PUBLIC, NULL, NULL, &origin);
    if (result != TEEC_SUCCESS)
        goto no_session;
    result = share(client, &client->in, in_bytes > KK_SEALED_BYTES ? in_bytes : KK_SEALED_BYTES, TEEC_MEM_INPUT);
    if (result != TEEC_SUCCESS)
        goto no_input;
    result = share(client, &client->out, out_bytes > 32 ? out_bytes : 32, TEEC_MEM_OUTPUT);
    if (result == TEEC_SUCCESS)
        return result;
    TEEC_ReleaseSharedMemory(&client->in);
no_input:
    TEEC_CloseSession(&client->session);
no_session:
    TEEC_FinalizeContext(&client->context);
    return result;
}

/* in_bytes, out_bytes: of the shared memory; 0 leaves a parameter out. written: what the application says. */
static uint32_t call(struct kk_client *client, uint32_t command, size_t in_bytes, size_t out_bytes, size_t *written)
{
    TEEC_Operation operation;
    uint32_t origin, kinds[2] = {TEEC_NONE, TEEC_NONE};
    int at = 0;
    memset(&operation, 0, sizeof operation);
    if (in_bytes) {
        operation.params[at].memref.parent = &client->in;
        operation.params[at].memref.size = in_bytes;
        kinds[at++] = TEEC_MEMREF_PARTIAL_INPUT;
    }
    if (out_bytes) {
        operation.params[at].memref.parent = &client->out;
        operation.params[at].memref.size = out_bytes;
        kinds[at++] = TEEC_MEMREF_PARTIAL_OUTPUT;
    }
    operation.paramTypes = TEEC_PARAM_TYPES(kinds[0], kinds[1], TEEC_NONE, TEEC_NONE);
    uint32_t result = TEEC_InvokeCommand(&client->session, command, &operation, &origin);
    *written = out_bytes ? operation.params[at - 1].memref.size : 0;
    return result;
}

uint32_t kk_public_key(struct kk_client *client, unsigned char key[32])
{
    size_t written;
    uint32_t result = call(client, KEY, 0, 32, &written);
    if (result == TEEC_SUCCESS && written != 32)
        return TEEC_ERROR_GENERIC;
    if (result == TEEC_SUCCESS)
        memcpy(key, client->out.buffer, 32);
    return result;
}

uint32_t kk_load_package(struct kk_client *client, const unsigned char *sealed, size_t bytes)
{
    size_t written;
    if (bytes == 0 || bytes > client->in.size)
        return TEEC_ERROR_BAD_PARAMETERS;
    memcpy(client->in.buffer, sealed, bytes);
    return call(client, LOAD, bytes, 0, &written);
}

uint32_t kk_invoke(struct kk_client *client, const void *inputs, size_t count, void *answers)
{
    size_t written;
    if (count == 0 || count > client->in.size / KK_INPUT_BYTES || count > client->out.size / KK_ANSWER_BYTES)
        return TEEC_ERROR_BAD_PARAMETERS;
    memcpy(client->in.buffer, inputs, count * KK_INPUT_BYTES);
    uint32_t result = call(client, INVOKE, count * KK_INPUT_BYTES, count * KK_ANSWER_BYTES, &written);
    if (result == TEEC_SUCCESS && written != count * KK_ANSWER_BYTES)
        return TEEC_ERROR_GENERIC;
    if (result == TEEC_SUCCESS)
        memcpy(answers, client->out.buffer, written);
    return result;
}

uint32_t kk_attest(struct kk_client *client, const unsigned char nonce[32], unsigned char digest[32])
{
    size_t written;
    memcpy(client->in.buffer, nonce, 32);
    uint32_t result = call(client, ATTEST, 32, 32, &written);
    if (result == TEEC_SUCCESS && written != 32)
        return TEEC_ERROR_GENERIC;
    if (result == TEEC_SUCCESS)
        memcpy(digest, client->out.buffer, 32);
    return result;
}

void kk_close(struct kk_client *client)
{
    TEEC_ReleaseSharedMemory(&client->out);
    TEEC_ReleaseSharedMemory(&client->in);
    TEEC_CloseSession(&client->session);
    TEEC_FinalizeContext(&client->context);
}

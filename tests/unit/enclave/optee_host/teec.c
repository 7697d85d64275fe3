/* The client library, its sessions ending in the Trusted Application that is linked into the same process.

   Parameters reach it in buffers of exactly their size, so that AddressSanitizer sees one byte too many. */
#include <stdlib.h>
#include <string.h>
#include <tee_client_api.h>
#include <tee_internal_api.h>

void tee_keep(const char *path, int write);

static const char *device(void)
{
    const char *path = getenv("KAKURI_TEST_DEVICE");
    return path ? path : "/dev/null";
}

TEEC_Result TEEC_InitializeContext(const char *name, TEEC_Context *context)
{
    (void)name, (void)context;
    tee_keep(device(), 0);
    return TA_CreateEntryPoint();
}

void TEEC_FinalizeContext(TEEC_Context *context)
{
    (void)context;
    TA_DestroyEntryPoint();
    tee_keep(device(), 1);
}

TEEC_Result TEEC_AllocateSharedMemory(TEEC_Context *context, TEEC_SharedMemory *memory)
{
    (void)context;
    memory->buffer = calloc(1, memory->size);
    return memory->buffer ? TEEC_SUCCESS : TEEC_ERROR_OUT_OF_MEMORY;
}

void TEEC_ReleaseSharedMemory(TEEC_SharedMemory *memory) { free(memory->buffer); }

TEEC_Result TEEC_OpenSession(TEEC_Context *context, TEEC_Session *session, const TEEC_UUID *destination, uint32_t method,
                             const void *data, TEEC_Operation *operation, uint32_t *origin)
{
    TEE_Param params[4];
    (void)context, (void)session, (void)destination, (void)method, (void)data, (void)operation;
    memset(params, 0, sizeof params);
    *origin = 4;
    return TA_OpenSessionEntryPoint(0, params, &session->imp);
}

void TEEC_CloseSession(TEEC_Session *session) { TA_CloseSessionEntryPoint(session->imp); }

TEEC_Result TEEC_InvokeCommand(TEEC_Session *session, uint32_t command, TEEC_Operation *operation, uint32_t *origin)
{
    TEE_Param params[4];
    uint32_t types = 0;
    memset(params, 0, sizeof params);
    *origin = 4;
    for (int i = 0; i < 4; i++) {
        uint32_t kind = operation->paramTypes >> 4 * i & 15;
        if (kind == TEEC_NONE)
            continue;
        const TEEC_SharedMemory *parent = operation->params[i].memref.parent;
        types |= (kind == TEEC_MEMREF_PARTIAL_INPUT ? 5u : 6u) << 4 * i;
        params[i].memref.size = operation->params[i].memref.size;
        params[i].memref.buffer = malloc(params[i].memref.size);
        memcpy(params[i].memref.buffer, parent->buffer, params[i].memref.size);
    }
    TEE_Result result = TA_InvokeCommandEntryPoint(session->imp, command, types, params);
    for (int i = 0; i < 4; i++) {
        if (!params[i].memref.buffer)
            continue;
        if ((types >> 4 * i & 15) == TEE_PARAM_TYPE_MEMREF_OUTPUT && result == TEE_SUCCESS)
            memcpy(operation->params[i].memref.parent->buffer, params[i].memref.buffer, params[i].memref.size);
        operation->params[i].memref.size = params[i].memref.size;
        free(params[i].memref.buffer);
    }
    return result;
}

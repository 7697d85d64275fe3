/* The entry points that OP-TEE calls. One instance stays alive, so that weights are loaded once. */
#include <string.h>

#include "trusted.h"

enum command { KEY = 0, LOAD = 1, INVOKE = 2, ATTEST = 3 };

struct memory kk_memory;
static int is_loaded;

void kk_wipe(void *from, size_t bytes)
{
    volatile unsigned char *at = from;
    while (bytes--)
        *at++ = 0;
}

TEE_Result TA_CreateEntryPoint(void)
{
    return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
    kk_wipe(&kk_memory, sizeof kk_memory);
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t types, TEE_Param params[4], void **session)
{
    (void)params;
    (void)session;
    return types == 0 ? TEE_SUCCESS : TEE_ERROR_BAD_PARAMETERS;
}

void TA_CloseSessionEntryPoint(void *session)
{
    (void)session;
}

static TEE_Result key(TEE_Param params[4])
{
    unsigned char public_key[KEY_BYTES];
    TEE_ObjectHandle device;
    if (!params[0].memref.buffer || params[0].memref.size < KEY_BYTES) {
        params[0].memref.size = KEY_BYTES;
        return TEE_ERROR_SHORT_BUFFER;
    }
    TEE_Result result = kk_device_key(&device, public_key);
    if (result != TEE_SUCCESS)
        return result;
    TEE_CloseObject(device);
    TEE_MemMove(params[0].memref.buffer, public_key, KEY_BYTES);
    params[0].memref.size = KEY_BYTES;
    return TEE_SUCCESS;
}

/* The loaded package, this code and the device's key, bound to a nonce. */
static TEE_Result attest(TEE_Param params[4])
{
    unsigned char nonce[DIGEST_BYTES], digest[DIGEST_BYTES];
    if (!params[0].memref.buffer || params[0].memref.size != sizeof nonce)
        return TEE_ERROR_BAD_PARAMETERS;
    if (!params[1].memref.buffer || params[1].memref.size < sizeof digest) {
        params[1].memref.size = sizeof digest;
        return TEE_ERROR_SHORT_BUFFER;
    }
    memcpy(nonce, params[0].memref.buffer, sizeof nonce);
    TEE_Result result = kk_bind(nonce, digest);
    if (result == TEE_SUCCESS) {
        memcpy(params[1].memref.buffer, digest, sizeof digest);
        params[1].memref.size = sizeof digest;
    }
    return result;
}

TEE_Result TA_InvokeCommandEntryPoint(void *session, uint32_t command, uint32_t types, TEE_Param params[4])
{
    (void)session;
    if (command == KEY && types == TEE_PARAM_TYPES(TEE_PARAM_TYPE_MEMREF_OUTPUT, 0, 0, 0))
        return key(params);
    if (command == LOAD && types == TEE_PARAM_TYPES(TEE_PARAM_TYPE_MEMREF_INPUT, 0, 0, 0)) {
        is_loaded = 0;
        TEE_Result result = kk_load(params[0].memref.buffer, params[0].memref.size);
        kk_wipe(kk_memory.data_key, sizeof kk_memory.data_key);
        if (result != TEE_SUCCESS)
            kk_wipe(kk_memory.weights, sizeof kk_memory.weights);
        is_loaded = result == TEE_SUCCESS;
        return result;
    }
    if ((command == INVOKE || command == ATTEST) &&
        types == TEE_PARAM_TYPES(TEE_PARAM_TYPE_MEMREF_INPUT, TEE_PARAM_TYPE_MEMREF_OUTPUT, 0, 0)) {
        if (!is_loaded)
            return TEE_ERROR_BAD_STATE;
        if (command == ATTEST)
            return attest(params);
        return kk_infer_all(params[0].memref.buffer, params[0].memref.size, params[1].memref.buffer,
                            &params[1].memref.size);
    }
    return TEE_ERROR_BAD_PARAMETERS;
}

/* kk_open_fn on the GlobalPlatform TEE Internal Core API 1.3. key: a TEE_OperationHandle for TEE_ALG_AES_GCM, TEE_MODE_DECRYPT,
 * 256 bits, with its key set; one per thread. The sealed weights lie in the application's own memory: what the normal
 * world can change between two looks has to be copied first. No part of the CMake project. */
#include "kk_open.h"
#include <string.h>
#include <tee_internal_api.h>

enum { NONCE_BYTES = 12, TAG_BYTES = 16 };

int kk_open_tee(void *key, const void *label, size_t label_bytes, const void *sealed, size_t bytes, void *plain);

int kk_open_tee(void *key, const void *label, size_t label_bytes, const void *sealed, size_t bytes, void *plain)
{
    TEE_OperationHandle gcm = key;
    const unsigned char *at = sealed;
    unsigned char tag[TAG_BYTES];
    size_t written = bytes;
    memcpy(tag, at + NONCE_BYTES + bytes, sizeof tag);
    TEE_Result result = TEE_AEInit(gcm, at, NONCE_BYTES, 8 * TAG_BYTES, label_bytes, bytes);
    if (result == TEE_SUCCESS) {
        TEE_AEUpdateAAD(gcm, label, label_bytes);
        result = TEE_AEDecryptFinal(gcm, at + NONCE_BYTES, bytes, plain, &written, tag, sizeof tag);
    }
    if (result != TEE_SUCCESS || written != bytes) {
        memset(plain, 0, bytes);
        return 1;
    }
    return 0;
}

/* AES-256-GCM by the TEE, from shared memory to the application's own.

   Guarantees: each piece of ciphertext is copied before it is opened, so that the normal world cannot change it between
   two looks; one call into the TEE per 16 KiB, none per weight. */
#include <string.h>

#include "trusted.h"

TEE_Result kk_gcm_new(TEE_OperationHandle *gcm, const unsigned char key[KEY_BYTES])
{
    TEE_Attribute secret;
    TEE_ObjectHandle object;
    TEE_Result result = TEE_AllocateTransientObject(TEE_TYPE_AES, 8 * KEY_BYTES, &object);
    if (result != TEE_SUCCESS)
        return result;
    TEE_InitRefAttribute(&secret, TEE_ATTR_SECRET_VALUE, key, KEY_BYTES);
    result = TEE_PopulateTransientObject(object, &secret, 1);
    if (result == TEE_SUCCESS)
        result = TEE_AllocateOperation(gcm, TEE_ALG_AES_GCM, TEE_MODE_DECRYPT, 8 * KEY_BYTES);
    if (result == TEE_SUCCESS) {
        result = TEE_SetOperationKey(*gcm, object);
        if (result != TEE_SUCCESS)
            TEE_FreeOperation(*gcm);
    }
    TEE_FreeTransientObject(object);
    return result;
}

TEE_Result kk_gcm_open(TEE_OperationHandle gcm, uint32_t number, const unsigned char *aad, size_t aad_bytes,
                       const unsigned char *shared, size_t bytes, unsigned char *to)
{
    unsigned char nonce[NONCE_BYTES] = {0}, tag[TAG_BYTES];
    size_t written = 0;
    memcpy(nonce, &number, sizeof number);
    TEE_Result result = TEE_AEInit(gcm, nonce, sizeof nonce, 8 * TAG_BYTES, aad_bytes, bytes);
    if (result != TEE_SUCCESS)
        return result;
    TEE_AEUpdateAAD(gcm, aad, aad_bytes);
    for (size_t at = 0; at < bytes;) {
        size_t part = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES, got = bytes - written;
        memcpy(kk_memory.staging, shared + at, part);
        result = TEE_AEUpdate(gcm, kk_memory.staging, part, to + written, &got);
        if (result != TEE_SUCCESS)
            return result;
        at += part;
        written += got;
    }
    size_t rest = bytes - written;
    memcpy(tag, shared + bytes, sizeof tag);
    result = TEE_AEDecryptFinal(gcm, NULL, 0, to + written, &rest, tag, sizeof tag);
    return result == TEE_SUCCESS && written + rest != bytes ? TEE_ERROR_GENERIC : result;
}

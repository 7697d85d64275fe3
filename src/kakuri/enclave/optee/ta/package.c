/* Opening a sealed package: index, signature, then the ciphertexts in the order of the index.

   Guarantees: index and signature are copied once and checked on the copy; code, version and every bound are checked
   before a key is unwrapped. The layout is sealed_index.h's. */
#include <string.h>

#include "trusted.h"

enum { IDENTITY_BYTES = 24 };
static const unsigned char CODE_DIGEST[DIGEST_BYTES] = KK_CODE_DIGEST;

/* Records in rising order, none beyond the weights or over another, together as long as the ciphertexts. */
static int layout_fits(const unsigned char *index)
{
    uint64_t end = 0, ciphertexts = 0;
    for (uint32_t i = 0; i < KK_TENSORS; i++) {
        const unsigned char *record = index + HEAD_BYTES + (size_t)i * RECORD_BYTES;
        uint64_t offset = kk_u64(record + AT_OFFSET), bytes = kk_u64(record + AT_BYTES);
        if (offset < end || bytes == 0 || bytes > KK_WEIGHTS_BYTES || offset > KK_WEIGHTS_BYTES - bytes)
            return 0;
        end = offset + bytes;
        ciphertexts += bytes + TAG_BYTES;
    }
    return ciphertexts == KK_CIPHERTEXT_BYTES;
}

static TEE_Result check_index(const unsigned char *index)
{
    uint32_t minimum;
    if (memcmp(index, KK_INDEX_MAGIC, sizeof KK_INDEX_MAGIC))
        return TEE_ERROR_BAD_FORMAT;
    TEE_Result result = kk_verify_index(index, INDEX_BYTES, kk_memory.signature);
    if (result != TEE_SUCCESS)
        return result;
    if (kk_u32(index + AT_TENSORS) != KK_TENSORS || kk_u32(index + AT_WRAP) != 1 ||
        kk_u64(index + AT_WEIGHTS_BYTES) != KK_WEIGHTS_BYTES || !layout_fits(index))
        return TEE_ERROR_BAD_FORMAT;
    if (memcmp(index + AT_CODE, CODE_DIGEST, sizeof CODE_DIGEST))
        return TEE_ERROR_NOT_SUPPORTED;
    result = kk_minimum_version(&minimum);
    if (result != TEE_SUCCESS)
        return result;
    if (kk_u32(index + AT_VERSION) < minimum || kk_u32(index + AT_VERSION) < kk_u32(index + AT_MINIMUM))
        return TEE_ERROR_UNSUPPORTED_VERSION;
    return TEE_SUCCESS;
}

static TEE_Result unwrap(const unsigned char *index)
{
    unsigned char info[sizeof KK_WRAP_LABEL - 1 + IDENTITY_BYTES], public_key[KEY_BYTES];
    TEE_ObjectHandle device;
    TEE_Result result = kk_device_key(&device, public_key);
    if (result != TEE_SUCCESS)
        return result;
    memcpy(info, KK_WRAP_LABEL, sizeof KK_WRAP_LABEL - 1);
    memcpy(info + sizeof KK_WRAP_LABEL - 1, index + AT_ID, IDENTITY_BYTES);
    result = kk_hpke_open(device, public_key, info, sizeof info, index + AT_WRAPPED, kk_memory.data_key);
    TEE_CloseObject(device);
    return result;
}

static TEE_Result open_tensors(const unsigned char *index, const unsigned char *shared)
{
    unsigned char aad[IDENTITY_BYTES + RECORD_BYTES];
    TEE_OperationHandle gcm;
    TEE_Result result = kk_gcm_new(&gcm, kk_memory.data_key);
    if (result != TEE_SUCCESS)
        return result;
    memcpy(aad, index + AT_ID, IDENTITY_BYTES);
    for (uint32_t i = 0; i < KK_TENSORS && result == TEE_SUCCESS; i++) {
        const unsigned char *record = index + HEAD_BYTES + (size_t)i * RECORD_BYTES;
        size_t bytes = (size_t)kk_u64(record + AT_BYTES);
        memcpy(aad + IDENTITY_BYTES, record, RECORD_BYTES);
        result = kk_gcm_open(gcm, i, aad, sizeof aad, shared, bytes, kk_memory.weights + kk_u64(record + AT_OFFSET));
        shared += bytes + TAG_BYTES;
    }
    TEE_FreeOperation(gcm);
    return result;
}

TEE_Result kk_load(const unsigned char *shared, size_t bytes)
{
    if (!shared || bytes != SEALED_BYTES)
        return TEE_ERROR_BAD_PARAMETERS;
    kk_wipe(kk_memory.weights, sizeof kk_memory.weights);
    memcpy(kk_memory.index, shared, INDEX_BYTES);
    memcpy(kk_memory.signature, shared + INDEX_BYTES, SIGNATURE_BYTES);
    TEE_Result result = check_index(kk_memory.index);
    if (result == TEE_SUCCESS)
        result = unwrap(kk_memory.index);
    if (result == TEE_SUCCESS)
        result = open_tensors(kk_memory.index, shared + INDEX_BYTES + SIGNATURE_BYTES);
    if (result == TEE_SUCCESS)
        result = kk_raise_minimum_version(kk_u32(kk_memory.index + AT_MINIMUM));
    return result;
}

TEE_Result kk_bind(const unsigned char nonce[DIGEST_BYTES], unsigned char digest[DIGEST_BYTES])
{
    static const char label[] = "kakuri-enclave-attest-1\n";
    unsigned char public_key[KEY_BYTES];
    TEE_ObjectHandle device;
    TEE_Result result = kk_device_key(&device, public_key);
    if (result != TEE_SUCCESS)
        return result;
    TEE_CloseObject(device);
    const struct piece pieces[] = {{label, sizeof label - 1},
                                   {nonce, DIGEST_BYTES},
                                   {CODE_DIGEST, sizeof CODE_DIGEST},
                                   {public_key, sizeof public_key},
                                   {kk_memory.index + AT_ID, IDENTITY_BYTES}};
    return kk_sha256(pieces, 5, digest);
}

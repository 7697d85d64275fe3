/* Signature and HPKE on the TEE's primitives.

   Source: RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, one message per context; HKDF
   (RFC 5869) from HMAC, since not every OP-TEE has HKDF. Every derived value here fits one block of SHA-256.
   Guarantees: TEE_SUCCESS only when all steps succeeded; intermediate keys are wiped. */
#include <string.h>

#include "trusted.h"

TEE_Result kk_sha256(const struct piece *pieces, int count, unsigned char digest[DIGEST_BYTES])
{
    TEE_OperationHandle operation;
    size_t bytes = DIGEST_BYTES;
    TEE_Result result = TEE_AllocateOperation(&operation, TEE_ALG_SHA256, TEE_MODE_DIGEST, 0);
    if (result != TEE_SUCCESS)
        return result;
    for (int i = 0; i < count; i++)
        TEE_DigestUpdate(operation, pieces[i].at, pieces[i].bytes);
    result = TEE_DigestDoFinal(operation, NULL, 0, digest, &bytes);
    TEE_FreeOperation(operation);
    return result;
}

static TEE_Result signer_key(TEE_ObjectHandle *object)
{
    static const unsigned char point[] = KK_SIGNER_POINT; /* x, then y */
    TEE_Attribute fields[3];
    TEE_Result result = TEE_AllocateTransientObject(TEE_TYPE_ECDSA_PUBLIC_KEY, 256, object);
    if (result != TEE_SUCCESS)
        return result;
    TEE_InitRefAttribute(&fields[0], TEE_ATTR_ECC_PUBLIC_VALUE_X, point, 32);
    TEE_InitRefAttribute(&fields[1], TEE_ATTR_ECC_PUBLIC_VALUE_Y, point + 32, 32);
    TEE_InitValueAttribute(&fields[2], TEE_ATTR_ECC_CURVE, TEE_ECC_CURVE_NIST_P256, 0);
    result = TEE_PopulateTransientObject(*object, fields, 3);
    if (result != TEE_SUCCESS)
        TEE_FreeTransientObject(*object);
    return result;
}

TEE_Result kk_verify_index(const unsigned char *index, size_t index_bytes, const unsigned char *signature)
{
    static const char label[] = "kakuri-enclave-index-1\n";
    const struct piece signed_bytes[] = {{label, sizeof label - 1}, {index, index_bytes}};
    unsigned char digest[DIGEST_BYTES];
    TEE_ObjectHandle object;
    TEE_OperationHandle operation;
    TEE_Result result = kk_sha256(signed_bytes, 2, digest);
    if (result != TEE_SUCCESS)
        return result;
    result = signer_key(&object);
    if (result != TEE_SUCCESS)
        return result;
    result = TEE_AllocateOperation(&operation, TEE_ALG_ECDSA_SHA256, TEE_MODE_VERIFY, 256);
    if (result == TEE_SUCCESS) {
        result = TEE_SetOperationKey(operation, object);
        if (result == TEE_SUCCESS)
            result = TEE_AsymmetricVerifyDigest(operation, NULL, 0, digest, sizeof digest, signature, SIGNATURE_BYTES);
        TEE_FreeOperation(operation);
    }
    TEE_FreeTransientObject(object);
    return result;
}

static TEE_Result hmac(const unsigned char key[DIGEST_BYTES], const struct piece *pieces, int count,
                       unsigned char mac[DIGEST_BYTES])
{
    TEE_Attribute secret;
    TEE_ObjectHandle object;
    TEE_OperationHandle operation;
    size_t bytes = DIGEST_BYTES;
    TEE_Result result = TEE_AllocateTransientObject(TEE_TYPE_HMAC_SHA256, 8 * DIGEST_BYTES, &object);
    if (result != TEE_SUCCESS)
        return result;
    TEE_InitRefAttribute(&secret, TEE_ATTR_SECRET_VALUE, key, DIGEST_BYTES);
    result = TEE_PopulateTransientObject(object, &secret, 1);
    if (result == TEE_SUCCESS)
        result = TEE_AllocateOperation(&operation, TEE_ALG_HMAC_SHA256, TEE_MODE_MAC, 8 * DIGEST_BYTES);
    if (result == TEE_SUCCESS) {
        result = TEE_SetOperationKey(operation, object);
        if (result == TEE_SUCCESS) {
            TEE_MACInit(operation, NULL, 0);
            for (int i = 0; i < count; i++)
                if (pieces[i].bytes)
                    TEE_MACUpdate(operation, pieces[i].at, pieces[i].bytes);
            result = TEE_MACComputeFinal(operation, NULL, 0, mac, &bytes);
        }
        TEE_FreeOperation(operation);
    }
    TEE_FreeTransientObject(object);
    return result;
}

static const unsigned char ZEROS[DIGEST_BYTES];
static const unsigned char KEM[] = {'K', 'E', 'M', 0, 0x20};
static const unsigned char SUITE[] = {'H', 'P', 'K', 'E', 0, 0x20, 0, 1, 0, 2};

static TEE_Result extract(const unsigned char salt[DIGEST_BYTES], struct piece suite, const char *label, struct piece ikm,
                          unsigned char out[DIGEST_BYTES])
{
    const struct piece text[] = {{"HPKE-v1", 7}, suite, {label, strlen(label)}, ikm};
    return hmac(salt, text, 4, out);
}

/* out_bytes: at most one block. */
static TEE_Result expand(const unsigned char prk[DIGEST_BYTES], struct piece suite, const char *label, struct piece info,
                         unsigned char *out, size_t out_bytes)
{
    unsigned char block[DIGEST_BYTES];
    const unsigned char length[2] = {0, (unsigned char)out_bytes}, one = 1;
    const struct piece text[] = {{length, 2}, {"HPKE-v1", 7}, suite, {label, strlen(label)}, info, {&one, 1}};
    TEE_Result result = hmac(prk, text, 6, block);
    memcpy(out, block, out_bytes);
    kk_wipe(block, sizeof block);
    return result;
}

static TEE_Result shared_secret(TEE_ObjectHandle device, const unsigned char *encapsulated, unsigned char dh[KEY_BYTES])
{
    TEE_Attribute peer;
    TEE_ObjectHandle derived;
    TEE_OperationHandle operation;
    size_t bytes = KEY_BYTES;
    unsigned char any = 0;
    memset(dh, 0, KEY_BYTES);
    TEE_Result result = TEE_AllocateTransientObject(TEE_TYPE_GENERIC_SECRET, 8 * KEY_BYTES, &derived);
    if (result != TEE_SUCCESS)
        return result;
    result = TEE_AllocateOperation(&operation, TEE_ALG_X25519, TEE_MODE_DERIVE, 8 * KEY_BYTES);
    if (result == TEE_SUCCESS) {
        result = TEE_SetOperationKey(operation, device);
        if (result == TEE_SUCCESS) {
            TEE_InitRefAttribute(&peer, TEE_ATTR_X25519_PUBLIC_VALUE, encapsulated, KEY_BYTES);
            TEE_DeriveKey(operation, &peer, 1, derived);
            result = TEE_GetObjectBufferAttribute(derived, TEE_ATTR_SECRET_VALUE, dh, &bytes);
        }
        TEE_FreeOperation(operation);
    }
    TEE_FreeTransientObject(derived);
    for (size_t i = 0; i < KEY_BYTES; i++)
        any |= dh[i];
    return result == TEE_SUCCESS && (bytes != KEY_BYTES || !any) ? TEE_ERROR_SECURITY : result;
}

struct schedule {
    unsigned char prk[DIGEST_BYTES], shared[DIGEST_BYTES], secret[DIGEST_BYTES], dh[KEY_BYTES], key[KEY_BYTES];
    unsigned char nonce[NONCE_BYTES], both[2 * KEY_BYTES], context[1 + 2 * DIGEST_BYTES];
};

/* RFC 9180, sections 4.1 and 5.1. */
static TEE_Result derive(struct schedule *s, const void *info, size_t info_bytes)
{
    const struct piece kem = {KEM, sizeof KEM}, suite = {SUITE, sizeof SUITE}, nothing = {NULL, 0};
    TEE_Result result = extract(ZEROS, kem, "eae_prk", (struct piece){s->dh, KEY_BYTES}, s->prk);
    s->context[0] = 0;
    if (result == TEE_SUCCESS)
        result = expand(s->prk, kem, "shared_secret", (struct piece){s->both, sizeof s->both}, s->shared, DIGEST_BYTES);
    if (result == TEE_SUCCESS)
        result = extract(ZEROS, suite, "psk_id_hash", nothing, s->context + 1);
    if (result == TEE_SUCCESS)
        result = extract(ZEROS, suite, "info_hash", (struct piece){info, info_bytes}, s->context + 1 + DIGEST_BYTES);
    if (result == TEE_SUCCESS)
        result = extract(s->shared, suite, "secret", nothing, s->secret);
    const struct piece context = {s->context, sizeof s->context};
    if (result == TEE_SUCCESS)
        result = expand(s->secret, suite, "key", context, s->key, sizeof s->key);
    if (result == TEE_SUCCESS)
        result = expand(s->secret, suite, "base_nonce", context, s->nonce, sizeof s->nonce);
    return result;
}

static TEE_Result open_key(const struct schedule *s, const unsigned char *ciphertext, unsigned char key[KEY_BYTES])
{
    TEE_OperationHandle gcm;
    size_t bytes = KEY_BYTES;
    unsigned char tag[TAG_BYTES];
    TEE_Result result = kk_gcm_new(&gcm, s->key);
    if (result != TEE_SUCCESS)
        return result;
    memcpy(tag, ciphertext + KEY_BYTES, sizeof tag);
    result = TEE_AEInit(gcm, s->nonce, NONCE_BYTES, 8 * TAG_BYTES, 0, KEY_BYTES);
    if (result == TEE_SUCCESS)
        result = TEE_AEDecryptFinal(gcm, ciphertext, KEY_BYTES, key, &bytes, tag, sizeof tag);
    TEE_FreeOperation(gcm);
    return result == TEE_SUCCESS && bytes != KEY_BYTES ? TEE_ERROR_GENERIC : result;
}

TEE_Result kk_hpke_open(TEE_ObjectHandle device, const unsigned char *device_public, const void *info, size_t info_bytes,
                        const unsigned char *sealed, unsigned char key[KEY_BYTES])
{
    struct schedule s;
    memcpy(s.both, sealed, KEY_BYTES);
    memcpy(s.both + KEY_BYTES, device_public, KEY_BYTES);
    TEE_Result result = shared_secret(device, sealed, s.dh);
    if (result == TEE_SUCCESS)
        result = derive(&s, info, info_bytes);
    if (result == TEE_SUCCESS)
        result = open_key(&s, sealed + KEY_BYTES, key);
    kk_wipe(&s, sizeof s);
    return result;
}

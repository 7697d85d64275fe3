/* Opening a sealed package.

   Purpose: from the signed index, the wrapped data key and the file to weights in secret memory.
   Guarantees: the index is believed only after its signature; code, version and every bound are checked before a key is
   unwrapped; weights that stay are authentic, all of them, at the place that the index says; on any failure the weights
   are wiped. The layout is sealed_index.h's.
   Does not guarantee: freshness beyond the minimum version that the policy carries. */
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

#include "worker.h"

static const char INDEX_LABEL[] = "kakuri-enclave-index-1\n";
static const unsigned char CODE_DIGEST[DIGEST_BYTES] = KK_CODE_DIGEST;

enum { WRAPPED_BYTES = 80, PIECE_BYTES = 128 << 10 };

static int read_at(int file, unsigned char *to, size_t bytes, uint64_t offset)
{
    if (offset > INT64_MAX - bytes)
        return -1;
    while (bytes) {
        ssize_t got = pread(file, to, bytes, (off_t)offset);
        if (got <= 0)
            return -1;
        to += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

/* A .kkey file of this kind without passphrase and with one section of 32 bytes: its body stands before the digest at the
   end. */
static int read_key_of_kind(int file, const char *kind, unsigned char key[KEY_BYTES])
{
    static const char start[] = "kakuri-secret-1\n";
    enum { START = sizeof start - 1, MAX = 4096 };
    unsigned char whole[MAX], digest[DIGEST_BYTES];
    size_t kind_bytes = strlen(kind);
    int found = 0;
    if (read_at(file, whole, START + 4, 0) == 0 && memcmp(whole, start, START) == 0) {
        size_t body = START + 4 + (size_t)kk_u32(whole + START), total = body + KEY_BYTES + DIGEST_BYTES;
        if (kk_u32(whole + START) >= kind_bytes && total <= MAX && read_at(file, whole, total, 0) == 0 &&
            memcmp(whole + START + 4, kind, kind_bytes) == 0) {
            const void *parts[] = {whole};
            size_t bytes[] = {body + KEY_BYTES};
            if (sha256(digest, parts, bytes, 1) == 0 && memcmp(digest, whole + body + KEY_BYTES, DIGEST_BYTES) == 0) {
                memcpy(key, whole + body, KEY_BYTES);
                found = 1;
            }
        }
    }
    wipe(whole, sizeof whole);
    return found;
}

enum status read_device_key(int file, unsigned char key[KEY_BYTES], uint32_t *wrap)
{
    *wrap = WRAP_HPKE;
    if (read_key_of_kind(file, "{\"kind\":\"enclave-device\",", key))
        return DONE;
    *wrap = WRAP_SYMMETRIC;
    return read_key_of_kind(file, "{\"kind\":\"enclave-wrapping\",", key) ? DONE : BAD_KEY_FILE;
}

/* Records in rising order, none beyond the weights or over another. */
static int layout_fits(const unsigned char *index, uint32_t tensors)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < tensors; i++) {
        const unsigned char *record = index + HEAD_BYTES + (size_t)i * RECORD_BYTES;
        uint64_t offset = kk_u64(record + AT_OFFSET), bytes = kk_u64(record + AT_BYTES);
        if (offset < end || bytes == 0 || bytes > KK_WEIGHTS_BYTES || offset > KK_WEIGHTS_BYTES - bytes)
            return 0;
        end = offset + bytes;
    }
    return 1;
}

static enum status check_index(const struct policy *policy, const unsigned char *index, size_t index_bytes,
                               const unsigned char *signature, size_t signature_bytes, size_t position_count)
{
    if (index_bytes < HEAD_BYTES || memcmp(index, KK_INDEX_MAGIC, sizeof KK_INDEX_MAGIC))
        return BAD_INDEX;
    if (verify_p256(policy->signer, signature, signature_bytes, INDEX_LABEL, index, index_bytes))
        return BAD_SIGNATURE;
    uint32_t tensors = kk_u32(index + AT_TENSORS);
    if (tensors > MAX_TENSORS || index_bytes != HEAD_BYTES + (size_t)tensors * RECORD_BYTES || tensors != position_count)
        return BAD_INDEX;
    if (CRYPTO_memcmp(index + AT_CODE, CODE_DIGEST, DIGEST_BYTES))
        return OTHER_CODE;
    if (kk_u32(index + AT_VERSION) < policy->minimum_version || kk_u32(index + AT_VERSION) < kk_u32(index + AT_MINIMUM))
        return OLD_VERSION;
    if (kk_u64(index + AT_WEIGHTS_BYTES) != KK_WEIGHTS_BYTES || !layout_fits(index, tensors))
        return BAD_INDEX;
    return DONE;
}

/* The data key, under HPKE or under the symmetric key: whichever this device has. */
static int unwrap(const unsigned char *index, struct secret *secret)
{
    unsigned char info[sizeof KK_WRAP_LABEL - 1 + 24];
    const unsigned char *wrapped = index + AT_WRAPPED, *sealed = wrapped + NONCE_BYTES;
    memcpy(info, KK_WRAP_LABEL, sizeof KK_WRAP_LABEL - 1);
    memcpy(info + sizeof KK_WRAP_LABEL - 1, index + AT_ID, 24);
    if (kk_u32(index + AT_WRAP) != secret->wrap)
        return -1;
    if (secret->wrap == WRAP_HPKE)
        return hpke_open(secret->device_key, secret->device_public, info, sizeof info, wrapped, WRAPPED_BYTES,
                         secret->data_key);
    return gcm_open(secret->device_key, wrapped, info, sizeof info, sealed, KEY_BYTES, sealed + KEY_BYTES,
                    secret->data_key);
}

/* A tensor in pieces that stay in the processor's cache: while one is decrypted and hashed, the kernel reads ahead. */
static int open_tensor(int file, uint64_t position, size_t bytes, const unsigned char key[KEY_BYTES],
                       const unsigned char nonce[NONCE_BYTES], const unsigned char *aad, size_t aad_bytes,
                       unsigned char *to)
{
    unsigned char tag[TAG_BYTES];
    if (position > INT64_MAX - bytes || read_at(file, tag, sizeof tag, position + bytes))
        return -1;
    struct evp_cipher_ctx_st *gcm = gcm_begin(key, nonce, aad, aad_bytes);
    int failed = !gcm;
    for (size_t at = 0; at < bytes && !failed;) {
        size_t part = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        failed = read_at(file, to + at, part, position + at) || gcm_next(gcm, to + at, part, to + at);
        at += part;
    }
    return gcm_end(gcm, failed ? NULL : tag);
}

static enum status open_tensors(int file, const unsigned char *index, const uint64_t *positions, struct secret *secret)
{
    unsigned char aad[24 + RECORD_BYTES], nonce[NONCE_BYTES] = {0};
    memcpy(aad, index + AT_ID, 24); /* package id, version, minimum version */
    for (uint32_t i = 0; i < kk_u32(index + AT_TENSORS); i++) {
        const unsigned char *record = index + HEAD_BYTES + (size_t)i * RECORD_BYTES;
        unsigned char *to = secret->weights + kk_u64(record + AT_OFFSET);
        memcpy(aad + 24, record, RECORD_BYTES);
        memcpy(nonce, &i, sizeof i);
        if (open_tensor(file, positions[i], kk_u64(record + AT_BYTES), secret->data_key, nonce, aad, sizeof aad, to))
            return BAD_TENSOR;
    }
    return DONE;
}

enum status load_package(int file, const struct policy *policy, const unsigned char *index, size_t index_bytes,
                         const unsigned char *signature, size_t signature_bytes, const uint64_t *positions,
                         size_t position_count, struct secret *secret, struct loaded *loaded)
{
    enum status result = check_index(policy, index, index_bytes, signature, signature_bytes, position_count);
    if (result != DONE)
        return result;
    if (unwrap(index, secret))
        result = NOT_FOR_THIS_KEY;
    else
        result = open_tensors(file, index, positions, secret);
    wipe(secret->data_key, sizeof secret->data_key);
    if (result != DONE) {
        wipe(secret->weights, sizeof secret->weights);
        return result;
    }
    memcpy(loaded->package_id, index + AT_ID, sizeof loaded->package_id);
    loaded->version = kk_u32(index + AT_VERSION);
    loaded->minimum_version = kk_u32(index + AT_MINIMUM);
    return DONE;
}

/* Cryptography of the worker, all of it OpenSSL's; HPKE is its composition.

   Source: RFC 9180 (HPKE), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, one message per context.
   Guarantees: every function returns 0 only when all steps succeeded; intermediate keys are wiped.
   Does not guarantee: that OpenSSL's own working copies stand in secret memory; they stand in ordinary memory of this
   process while a call lasts. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "worker.h"

static EVP_CIPHER *gcm;
static EVP_MD *digest256;
static EVP_KDF *hkdf;

/* RFC 6979, appendix A.2.5: the signature of "sample" is right and that of "sampl" is not. */
static int p256_answers(void)
{
    static const unsigned char point[POINT_BYTES] = {
        0x04, 0x60, 0xfe, 0xd4, 0xba, 0x25, 0x5a, 0x9d, 0x31, 0xc9, 0x61, 0xeb, 0x74, 0xc6, 0x35, 0x6d, 0x68,
        0xc0, 0x49, 0xb8, 0x92, 0x3b, 0x61, 0xfa, 0x6c, 0xe6, 0x69, 0x62, 0x2e, 0x60, 0xf2, 0x9f, 0xb6, 0x79,
        0x03, 0xfe, 0x10, 0x08, 0xb8, 0xbc, 0x99, 0xa4, 0x1a, 0xe9, 0xe9, 0x56, 0x28, 0xbc, 0x64, 0xf2, 0xf1,
        0xb2, 0x0c, 0x2d, 0x7e, 0x9f, 0x51, 0x77, 0xa3, 0xc2, 0x94, 0xd4, 0x46, 0x22, 0x99};
    static const unsigned char signature[] = {
        0x30, 0x46, 0x02, 0x21, 0x00, 0xef, 0xd4, 0x8b, 0x2a, 0xac, 0xb6, 0xa8, 0xfd, 0x11, 0x40, 0xdd, 0x9c,
        0xd4, 0x5e, 0x81, 0xd6, 0x9d, 0x2c, 0x87, 0x7b, 0x56, 0xaa, 0xf9, 0x91, 0xc3, 0x4d, 0x0e, 0xa8, 0x4e,
        0xaf, 0x37, 0x16, 0x02, 0x21, 0x00, 0xf7, 0xcb, 0x1c, 0x94, 0x2d, 0x65, 0x7c, 0x41, 0xd4, 0x36, 0xc7,
        0xa1, 0xb6, 0xe2, 0x9f, 0x65, 0xf3, 0xe9, 0x00, 0xdb, 0xb9, 0xaf, 0xf4, 0x06, 0x4d, 0xc4, 0xab, 0x2f,
        0x84, 0x3a, 0xcd, 0xa8};
    const unsigned char rest[] = {'e'};
    return verify_p256(point, signature, sizeof signature, "sampl", rest, 1) == 0 &&
           verify_p256(point, signature, sizeof signature, "sampl", rest, 0) != 0;
}

/* Fetches everything while files may still be read, tries it once, and draws so that the generator is seeded. */
int crypto_ready(void)
{
    unsigned char private_key[KEY_BYTES], public_key[KEY_BYTES], sealed[HPKE_OVERHEAD_BYTES + 1], opened[1];
    gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    digest256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    if (!gcm || !digest256 || !hkdf || !p256_answers() || x25519_new(private_key, public_key))
        return -1;
    int failed = hpke_seal(public_key, opened, 0, private_key, 1, sealed) ||
                 hpke_open(private_key, public_key, opened, 0, sealed, sizeof sealed, opened) || opened[0] != private_key[0];
    wipe(private_key, sizeof private_key);
    return failed ? -1 : 0;
}

int sha256(unsigned char digest[DIGEST_BYTES], const void *const parts[], const size_t bytes[], int count)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int good = context && EVP_DigestInit_ex(context, digest256, NULL);
    for (int i = 0; good && i < count; i++)
        good = EVP_DigestUpdate(context, parts[i], bytes[i]);
    good = good && EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    return good ? 0 : -1;
}

int verify_p256(const unsigned char point[POINT_BYTES], const unsigned char *signature, size_t signature_bytes,
                const char *label, const unsigned char *data, size_t data_bytes)
{
    char group[] = "prime256v1";
    unsigned char copy[POINT_BYTES];
    memcpy(copy, point, sizeof copy);
    OSSL_PARAM fields[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, sizeof copy),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int good = maker && context && EVP_PKEY_fromdata_init(maker) == 1 &&
               EVP_PKEY_fromdata(maker, &key, EVP_PKEY_PUBLIC_KEY, fields) == 1 &&
               EVP_DigestVerifyInit_ex(context, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
               EVP_DigestVerifyUpdate(context, label, strlen(label)) == 1 &&
               EVP_DigestVerifyUpdate(context, data, data_bytes) == 1 &&
               EVP_DigestVerifyFinal(context, signature, signature_bytes) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_CTX_free(maker);
    EVP_PKEY_free(key);
    return good ? 0 : -1;
}

/* Large pieces: EVP takes int lengths. */
static int gcm_update(EVP_CIPHER_CTX *context, unsigned char *to, const unsigned char *from, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        int part = bytes - at > (1 << 30) ? 1 << 30 : (int)(bytes - at), written;
        if (EVP_CipherUpdate(context, to ? to + at : NULL, &written, from + at, part) != 1)
            return -1;
        at += (size_t)part;
    }
    return 0;
}

struct evp_cipher_ctx_st *gcm_begin(const unsigned char key[KEY_BYTES], const unsigned char nonce[12],
                                    const unsigned char *aad, size_t aad_bytes)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context && EVP_DecryptInit_ex2(context, gcm, key, nonce, NULL) == 1 &&
        gcm_update(context, NULL, aad, aad_bytes) == 0)
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

int gcm_next(struct evp_cipher_ctx_st *context, const unsigned char *from, size_t bytes, unsigned char *to)
{
    return gcm_update(context, to, from, bytes);
}

int gcm_end(struct evp_cipher_ctx_st *context, const unsigned char *tag)
{
    unsigned char copy[TAG_BYTES], rest[TAG_BYTES];
    int good = 0, written;
    if (context && tag) {
        memcpy(copy, tag, sizeof copy);
        good = EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof copy, copy) == 1 &&
               EVP_DecryptFinal_ex(context, rest, &written) == 1;
    }
    EVP_CIPHER_CTX_free(context);
    return good ? 0 : -1;
}

int gcm_open(const unsigned char key[KEY_BYTES], const unsigned char nonce[12], const unsigned char *aad, size_t aad_bytes,
             const unsigned char *from, size_t bytes, const unsigned char tag[TAG_BYTES], unsigned char *to)
{
    struct evp_cipher_ctx_st *context = gcm_begin(key, nonce, aad, aad_bytes);
    int failed = !context || gcm_next(context, from, bytes, to);
    return gcm_end(context, failed ? NULL : tag);
}

static int gcm_seal(const unsigned char key[KEY_BYTES], const unsigned char nonce[12], const unsigned char *from,
                    size_t bytes, unsigned char *to)
{
    unsigned char rest[TAG_BYTES];
    int written;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int good = context && EVP_EncryptInit_ex2(context, gcm, key, nonce, NULL) == 1 &&
               gcm_update(context, to, from, bytes) == 0 && EVP_EncryptFinal_ex(context, rest, &written) == 1 &&
               EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, to + bytes) == 1;
    EVP_CIPHER_CTX_free(context);
    return good ? 0 : -1;
}

int x25519_public(const unsigned char private_key[KEY_BYTES], unsigned char public_key[KEY_BYTES])
{
    size_t bytes = KEY_BYTES;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, KEY_BYTES);
    int good = key && EVP_PKEY_get_raw_public_key(key, public_key, &bytes) == 1;
    EVP_PKEY_free(key);
    return good ? 0 : -1;
}

int x25519_new(unsigned char private_key[KEY_BYTES], unsigned char public_key[KEY_BYTES])
{
    size_t bytes = KEY_BYTES;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    int good = key && EVP_PKEY_get_raw_private_key(key, private_key, &bytes) == 1 &&
               EVP_PKEY_get_raw_public_key(key, public_key, &bytes) == 1;
    EVP_PKEY_free(key);
    return good ? 0 : -1;
}

static int shared_secret(const unsigned char private_key[KEY_BYTES], const unsigned char public_key[KEY_BYTES],
                         unsigned char shared[KEY_BYTES])
{
    size_t bytes = KEY_BYTES;
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, KEY_BYTES);
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public_key, KEY_BYTES);
    EVP_PKEY_CTX *context = own ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    int good = other && context && EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, other) == 1 &&
               EVP_PKEY_derive(context, shared, &bytes) == 1 && bytes == KEY_BYTES;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(own);
    EVP_PKEY_free(other);
    return good ? 0 : -1;
}

struct piece {
    const void *at;
    size_t bytes;
};

/* HKDF in one of its two modes; text is the pieces one behind the other: the input key when extracting, the info when
   expanding. */
static int hkdf_step(int mode, const unsigned char *key, size_t key_bytes, const struct piece *text, int pieces,
                     unsigned char *out, size_t out_bytes)
{
    unsigned char joined[1024];
    size_t bytes = 0;
    for (int i = 0; i < pieces; i++) {
        if (bytes + text[i].bytes > sizeof joined)
            return -1;
        if (text[i].bytes)
            memcpy(joined + bytes, text[i].at, text[i].bytes);
        bytes += text[i].bytes;
    }
    char name[] = "SHA256";
    int extract = mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    OSSL_PARAM fields[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, extract ? joined : (void *)key, extract ? bytes : key_bytes),
        OSSL_PARAM_construct_octet_string(extract ? OSSL_KDF_PARAM_SALT : OSSL_KDF_PARAM_INFO,
                                          extract ? (void *)key : joined, extract ? key_bytes : bytes),
        OSSL_PARAM_construct_end()};
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(hkdf);
    int good = context && EVP_KDF_derive(context, out, out_bytes, fields) == 1;
    EVP_KDF_CTX_free(context);
    wipe(joined, sizeof joined);
    return good ? 0 : -1;
}

static const unsigned char kem_suite[] = {'K', 'E', 'M', 0, 0x20};
static const unsigned char hpke_suite[] = {'H', 'P', 'K', 'E', 0, 0x20, 0, 1, 0, 2};

static int labeled_extract(const unsigned char *salt, size_t salt_bytes, struct piece suite, const char *label,
                           const void *ikm, size_t ikm_bytes, unsigned char out[DIGEST_BYTES])
{
    static const unsigned char zeros[DIGEST_BYTES];
    struct piece text[] = {{"HPKE-v1", 7}, suite, {label, strlen(label)}, {ikm, ikm_bytes}};
    return hkdf_step(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, salt_bytes ? salt : zeros, salt_bytes ? salt_bytes : sizeof zeros,
                     text, 4, out, DIGEST_BYTES);
}

static int labeled_expand(const unsigned char prk[DIGEST_BYTES], struct piece suite, const char *label, const void *info,
                          size_t info_bytes, unsigned char *out, size_t out_bytes)
{
    unsigned char length[2] = {(unsigned char)(out_bytes >> 8), (unsigned char)out_bytes};
    struct piece text[] = {{length, 2}, {"HPKE-v1", 7}, suite, {label, strlen(label)}, {info, info_bytes}};
    return hkdf_step(EVP_KDF_HKDF_MODE_EXPAND_ONLY, prk, DIGEST_BYTES, text, 5, out, out_bytes);
}

/* Key and nonce of the only message, from the Diffie-Hellman value (RFC 9180, sections 4.1 and 5.1). */
static int schedule(const unsigned char dh[KEY_BYTES], const unsigned char enc[KEY_BYTES],
                    const unsigned char recipient[KEY_BYTES], const unsigned char *info, size_t info_bytes,
                    struct hpke *made)
{
    struct piece kem = {kem_suite, sizeof kem_suite}, suite = {hpke_suite, sizeof hpke_suite};
    unsigned char prk[DIGEST_BYTES], shared[DIGEST_BYTES], secret[DIGEST_BYTES], both[2 * KEY_BYTES];
    unsigned char context[1 + 2 * DIGEST_BYTES] = {0};
    memcpy(both, enc, KEY_BYTES);
    memcpy(both + KEY_BYTES, recipient, KEY_BYTES);
    int failed = labeled_extract(NULL, 0, kem, "eae_prk", dh, KEY_BYTES, prk) ||
                 labeled_expand(prk, kem, "shared_secret", both, sizeof both, shared, sizeof shared) ||
                 labeled_extract(NULL, 0, suite, "psk_id_hash", NULL, 0, context + 1) ||
                 labeled_extract(NULL, 0, suite, "info_hash", info, info_bytes, context + 1 + DIGEST_BYTES) ||
                 labeled_extract(shared, sizeof shared, suite, "secret", NULL, 0, secret) ||
                 labeled_expand(secret, suite, "key", context, sizeof context, made->key, sizeof made->key) ||
                 labeled_expand(secret, suite, "base_nonce", context, sizeof context, made->nonce, sizeof made->nonce);
    wipe(prk, sizeof prk);
    wipe(shared, sizeof shared);
    wipe(secret, sizeof secret);
    return failed ? -1 : 0;
}

int hpke_open(const unsigned char private_key[KEY_BYTES], const unsigned char public_key[KEY_BYTES],
              const unsigned char *info, size_t info_bytes, const unsigned char *sealed, size_t sealed_bytes,
              unsigned char *to)
{
    struct hpke made;
    unsigned char dh[KEY_BYTES];
    if (sealed_bytes < HPKE_OVERHEAD_BYTES)
        return -1;
    const unsigned char *ciphertext = sealed + KEY_BYTES;
    size_t bytes = sealed_bytes - HPKE_OVERHEAD_BYTES;
    int failed = shared_secret(private_key, sealed, dh) || schedule(dh, sealed, public_key, info, info_bytes, &made) ||
                 gcm_open(made.key, made.nonce, NULL, 0, ciphertext, bytes, ciphertext + bytes, to);
    wipe(dh, sizeof dh);
    wipe(&made, sizeof made);
    return failed ? -1 : 0;
}

int hpke_seal(const unsigned char public_key[KEY_BYTES], const unsigned char *info, size_t info_bytes,
              const unsigned char *from, size_t bytes, unsigned char *sealed)
{
    struct hpke made;
    unsigned char dh[KEY_BYTES], ephemeral[KEY_BYTES];
    int failed = x25519_new(ephemeral, sealed) || shared_secret(ephemeral, public_key, dh) ||
                 schedule(dh, sealed, public_key, info, info_bytes, &made) ||
                 gcm_seal(made.key, made.nonce, from, bytes, sealed + KEY_BYTES);
    wipe(dh, sizeof dh);
    wipe(ephemeral, sizeof ephemeral);
    wipe(&made, sizeof made);
    return failed ? -1 : 0;
}

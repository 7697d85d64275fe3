/* The functions of the TEE that the Trusted Application uses, on OpenSSL, in an ordinary process: for tests only.

   Where the specification has an implementation panic, this one aborts: wrong states, keys and sizes show at once. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tee_internal_api.h>

#define MUST(condition) do { if (!(condition)) { fprintf(stderr, "panic: %s, line %d\n", #condition, __LINE__); abort(); } } while (0)

struct __TEE_ObjectHandle {
    uint32_t type;
    size_t bytes;
    unsigned char value[128], public_value[32];
    int filled, persistent;
};

struct __TEE_OperationHandle {
    uint32_t algorithm, mode;
    EVP_MD_CTX *digest;
    EVP_MAC_CTX *mac;
    EVP_CIPHER_CTX *cipher;
    unsigned char key[128], nonce[12];
    size_t key_bytes;
    int has_key, active;
    EVP_PKEY *pkey;
};

/* The private storage: two named objects at most. */
static struct stored {
    char id[64];
    size_t id_bytes;
    struct __TEE_ObjectHandle object;
} storage[4];

void TEE_MemMove(void *to, const void *from, size_t bytes) { memmove(to, from, bytes); }

TEE_Result TEE_AllocateTransientObject(uint32_t type, uint32_t bits, TEE_ObjectHandle *object)
{
    MUST(bits % 8 == 0 && bits <= 1024);
    *object = calloc(1, sizeof **object);
    (*object)->type = type;
    (*object)->bytes = bits / 8;
    return TEE_SUCCESS;
}

void TEE_FreeTransientObject(TEE_ObjectHandle object)
{
    MUST(object && !object->persistent);
    free(object);
}

void TEE_CloseObject(TEE_ObjectHandle object)
{
    MUST(object);
    free(object);
}

void TEE_InitRefAttribute(TEE_Attribute *attribute, uint32_t id, const void *buffer, size_t length)
{
    MUST(!(id & 1u << 29));
    attribute->attributeID = id;
    attribute->content.ref.buffer = (void *)buffer;
    attribute->content.ref.length = length;
}

void TEE_InitValueAttribute(TEE_Attribute *attribute, uint32_t id, uint32_t a, uint32_t b)
{
    MUST(id & 1u << 29);
    attribute->attributeID = id;
    attribute->content.value.a = a;
    attribute->content.value.b = b;
}

TEE_Result TEE_PopulateTransientObject(TEE_ObjectHandle object, const TEE_Attribute *attributes, uint32_t count)
{
    MUST(!object->filled);
    if (object->type == TEE_TYPE_ECDSA_PUBLIC_KEY) {
        MUST(count == 3 && attributes[0].attributeID == TEE_ATTR_ECC_PUBLIC_VALUE_X &&
             attributes[1].attributeID == TEE_ATTR_ECC_PUBLIC_VALUE_Y && attributes[2].attributeID == TEE_ATTR_ECC_CURVE &&
             attributes[2].content.value.a == TEE_ECC_CURVE_NIST_P256);
        MUST(attributes[0].content.ref.length == 32 && attributes[1].content.ref.length == 32);
        object->value[0] = 4;
        memcpy(object->value + 1, attributes[0].content.ref.buffer, 32);
        memcpy(object->value + 33, attributes[1].content.ref.buffer, 32);
        object->bytes = 65;
    } else {
        MUST(count == 1 && attributes[0].attributeID == TEE_ATTR_SECRET_VALUE);
        MUST(attributes[0].content.ref.length == object->bytes);
        MUST(object->type == TEE_TYPE_AES ? object->bytes == 32 : object->bytes >= 24);
        memcpy(object->value, attributes[0].content.ref.buffer, object->bytes);
    }
    object->filled = 1;
    return TEE_SUCCESS;
}

TEE_Result TEE_GenerateKey(TEE_ObjectHandle object, uint32_t bits, const TEE_Attribute *parameters, uint32_t count)
{
    size_t bytes = 32, public_bytes = 32;
    MUST(object->type == TEE_TYPE_X25519_KEYPAIR && bits == 256 && !parameters && !count && !object->filled);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    MUST(key && EVP_PKEY_get_raw_private_key(key, object->value, &bytes) == 1 &&
         EVP_PKEY_get_raw_public_key(key, object->public_value, &public_bytes) == 1);
    EVP_PKEY_free(key);
    object->filled = 1;
    return TEE_SUCCESS;
}

TEE_Result TEE_GetObjectBufferAttribute(TEE_ObjectHandle object, uint32_t id, void *buffer, size_t *size)
{
    const unsigned char *from = id == TEE_ATTR_X25519_PUBLIC_VALUE ? object->public_value : object->value;
    MUST(object->filled && (id == TEE_ATTR_X25519_PUBLIC_VALUE || object->type == TEE_TYPE_GENERIC_SECRET));
    if (*size < 32) {
        *size = 32;
        return TEE_ERROR_SHORT_BUFFER;
    }
    memcpy(buffer, from, 32);
    *size = 32;
    return TEE_SUCCESS;
}

static struct stored *find(const void *id, size_t id_bytes)
{
    for (size_t i = 0; i < 4; i++)
        if (storage[i].id_bytes == id_bytes && id_bytes && memcmp(storage[i].id, id, id_bytes) == 0)
            return &storage[i];
    return NULL;
}

static TEE_ObjectHandle handle_of(const struct stored *stored)
{
    TEE_ObjectHandle object = malloc(sizeof *object);
    *object = stored->object;
    object->persistent = 1;
    return object;
}

TEE_Result TEE_OpenPersistentObject(uint32_t where, const void *id, size_t id_bytes, uint32_t flags, TEE_ObjectHandle *object)
{
    MUST(where == TEE_STORAGE_PRIVATE && id_bytes <= 64 && (flags & TEE_DATA_FLAG_ACCESS_READ));
    struct stored *stored = find(id, id_bytes);
    if (!stored)
        return TEE_ERROR_ITEM_NOT_FOUND;
    *object = handle_of(stored);
    return TEE_SUCCESS;
}

TEE_Result TEE_CreatePersistentObject(uint32_t where, const void *id, size_t id_bytes, uint32_t flags,
                                      TEE_ObjectHandle attributes, const void *data, size_t bytes, TEE_ObjectHandle *object)
{
    struct stored *stored = find(id, id_bytes);
    MUST(where == TEE_STORAGE_PRIVATE && id_bytes <= 64 && bytes <= 128);
    MUST(!stored || (flags & TEE_DATA_FLAG_OVERWRITE));
    for (size_t i = 0; !stored && i < 4; i++)
        if (!storage[i].id_bytes)
            stored = &storage[i];
    MUST(stored);
    memset(stored, 0, sizeof *stored);
    memcpy(stored->id, id, id_bytes);
    stored->id_bytes = id_bytes;
    if (attributes) {
        stored->object = *attributes;
    } else {
        memcpy(stored->object.value, data, bytes);
        stored->object.bytes = bytes;
    }
    *object = handle_of(stored);
    return TEE_SUCCESS;
}

TEE_Result TEE_ReadObjectData(TEE_ObjectHandle object, void *buffer, size_t size, size_t *count)
{
    MUST(object->persistent);
    *count = size < object->bytes ? size : object->bytes;
    memcpy(buffer, object->value, *count);
    return TEE_SUCCESS;
}

TEE_Result TEE_AllocateOperation(TEE_OperationHandle *operation, uint32_t algorithm, uint32_t mode, uint32_t bits)
{
    MUST((algorithm == TEE_ALG_SHA256 && mode == TEE_MODE_DIGEST && bits == 0) ||
         (algorithm == TEE_ALG_HMAC_SHA256 && mode == TEE_MODE_MAC) || (algorithm == TEE_ALG_AES_GCM && mode == TEE_MODE_DECRYPT) ||
         (algorithm == TEE_ALG_ECDSA_SHA256 && mode == TEE_MODE_VERIFY) || (algorithm == TEE_ALG_X25519 && mode == TEE_MODE_DERIVE));
    *operation = calloc(1, sizeof **operation);
    (*operation)->algorithm = algorithm;
    (*operation)->mode = mode;
    if (algorithm == TEE_ALG_SHA256) {
        (*operation)->digest = EVP_MD_CTX_new();
        MUST(EVP_DigestInit_ex((*operation)->digest, EVP_sha256(), NULL) == 1);
    }
    return TEE_SUCCESS;
}

void TEE_FreeOperation(TEE_OperationHandle operation)
{
    MUST(operation);
    EVP_MD_CTX_free(operation->digest);
    EVP_MAC_CTX_free(operation->mac);
    EVP_CIPHER_CTX_free(operation->cipher);
    EVP_PKEY_free(operation->pkey);
    free(operation);
}

TEE_Result TEE_SetOperationKey(TEE_OperationHandle operation, TEE_ObjectHandle key)
{
    MUST(key->filled && !operation->has_key);
    uint32_t wanted = operation->algorithm == TEE_ALG_HMAC_SHA256  ? TEE_TYPE_HMAC_SHA256
                      : operation->algorithm == TEE_ALG_AES_GCM    ? TEE_TYPE_AES
                      : operation->algorithm == TEE_ALG_ECDSA_SHA256 ? TEE_TYPE_ECDSA_PUBLIC_KEY
                                                                   : TEE_TYPE_X25519_KEYPAIR;
    MUST(key->type == wanted);
    memcpy(operation->key, key->value, sizeof operation->key);
    operation->key_bytes = key->bytes;
    operation->has_key = 1;
    return TEE_SUCCESS;
}

void TEE_DigestUpdate(TEE_OperationHandle operation, const void *chunk, size_t bytes)
{
    MUST(EVP_DigestUpdate(operation->digest, chunk, bytes) == 1);
}

TEE_Result TEE_DigestDoFinal(TEE_OperationHandle operation, const void *chunk, size_t bytes, void *hash, size_t *hash_bytes)
{
    MUST(*hash_bytes >= 32 && !chunk && !bytes && EVP_DigestFinal_ex(operation->digest, hash, NULL) == 1);
    *hash_bytes = 32;
    return TEE_SUCCESS;
}

void TEE_MACInit(TEE_OperationHandle operation, const void *iv, size_t iv_bytes)
{
    char name[] = "SHA256";
    OSSL_PARAM fields[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    MUST(operation->has_key && !iv && !iv_bytes && !operation->mac);
    operation->mac = EVP_MAC_CTX_new(mac);
    MUST(EVP_MAC_init(operation->mac, operation->key, operation->key_bytes, fields) == 1);
    EVP_MAC_free(mac);
}

void TEE_MACUpdate(TEE_OperationHandle operation, const void *chunk, size_t bytes)
{
    MUST(operation->mac && EVP_MAC_update(operation->mac, chunk, bytes) == 1);
}

TEE_Result TEE_MACComputeFinal(TEE_OperationHandle operation, const void *message, size_t bytes, void *mac, size_t *mac_bytes)
{
    size_t made;
    MUST(!message && !bytes && *mac_bytes >= 32 && EVP_MAC_final(operation->mac, mac, &made, 32) == 1 && made == 32);
    *mac_bytes = made;
    return TEE_SUCCESS;
}

TEE_Result TEE_AEInit(TEE_OperationHandle operation, const void *nonce, size_t nonce_bytes, uint32_t tag_bits, size_t aad_bytes,
                      size_t payload_bytes)
{
    (void)aad_bytes, (void)payload_bytes;
    MUST(operation->algorithm == TEE_ALG_AES_GCM && operation->has_key && nonce_bytes == 12 && tag_bits == 128 && !operation->active);
    if (!operation->cipher)
        operation->cipher = EVP_CIPHER_CTX_new();
    MUST(EVP_DecryptInit_ex(operation->cipher, EVP_aes_256_gcm(), NULL, operation->key, nonce) == 1);
    operation->active = 1;
    return TEE_SUCCESS;
}

void TEE_AEUpdateAAD(TEE_OperationHandle operation, const void *aad, size_t bytes)
{
    int written;
    MUST(operation->active && EVP_DecryptUpdate(operation->cipher, NULL, &written, aad, (int)bytes) == 1);
}

TEE_Result TEE_AEUpdate(TEE_OperationHandle operation, const void *from, size_t from_bytes, void *to, size_t *to_bytes)
{
    int written;
    MUST(operation->active && *to_bytes >= from_bytes);
    MUST(EVP_DecryptUpdate(operation->cipher, to, &written, from, (int)from_bytes) == 1);
    *to_bytes = (size_t)written;
    return TEE_SUCCESS;
}

TEE_Result TEE_AEDecryptFinal(TEE_OperationHandle operation, const void *from, size_t from_bytes, void *to, size_t *to_bytes,
                              void *tag, size_t tag_bytes)
{
    int written = 0, last = 0;
    unsigned char rest[16];
    MUST(operation->active && tag_bytes == 16 && *to_bytes >= from_bytes);
    if (from_bytes)
        MUST(EVP_DecryptUpdate(operation->cipher, to, &written, from, (int)from_bytes) == 1);
    MUST(EVP_CIPHER_CTX_ctrl(operation->cipher, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1);
    operation->active = 0;
    *to_bytes = (size_t)written;
    return EVP_DecryptFinal_ex(operation->cipher, rest, &last) == 1 ? TEE_SUCCESS : TEE_ERROR_MAC_INVALID;
}

TEE_Result TEE_AsymmetricVerifyDigest(TEE_OperationHandle operation, const TEE_Attribute *parameters, uint32_t count,
                                      const void *digest, size_t digest_bytes, const void *signature, size_t signature_bytes)
{
    char group[] = "prime256v1";
    OSSL_PARAM fields[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, operation->key, 65),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY *key = NULL;
    unsigned char der[80], *end = der;
    MUST(operation->has_key && !parameters && !count && digest_bytes == 32 && signature_bytes == 64);
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    MUST(EVP_PKEY_fromdata_init(maker) == 1 && EVP_PKEY_fromdata(maker, &key, EVP_PKEY_PUBLIC_KEY, fields) == 1);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    MUST(ECDSA_SIG_set0(pair, BN_bin2bn(signature, 32, NULL), BN_bin2bn((const unsigned char *)signature + 32, 32, NULL)) == 1);
    int der_bytes = i2d_ECDSA_SIG(pair, &end);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    int good = der_bytes > 0 && EVP_PKEY_verify_init(context) == 1 &&
               EVP_PKEY_verify(context, der, (size_t)der_bytes, digest, digest_bytes) == 1;
    EVP_PKEY_CTX_free(context);
    ECDSA_SIG_free(pair);
    EVP_PKEY_CTX_free(maker);
    EVP_PKEY_free(key);
    return good ? TEE_SUCCESS : TEE_ERROR_SIGNATURE_INVALID;
}

void TEE_DeriveKey(TEE_OperationHandle operation, const TEE_Attribute *parameters, uint32_t count, TEE_ObjectHandle derived)
{
    size_t bytes = 32;
    MUST(operation->has_key && count == 1 && parameters[0].attributeID == TEE_ATTR_X25519_PUBLIC_VALUE &&
         parameters[0].content.ref.length == 32 && derived->type == TEE_TYPE_GENERIC_SECRET && derived->bytes == 32);
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, operation->key, 32);
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, parameters[0].content.ref.buffer, 32);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    memset(derived->value, 0, 32);
    MUST(EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, other) == 1);
    if (EVP_PKEY_derive(context, derived->value, &bytes) != 1) /* a point of small order: the zero that libraries give */
        memset(derived->value, 0, 32);
    derived->filled = 1;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(own);
    EVP_PKEY_free(other);
}

/* What makes a simulated device last from one run of the process to the next. */
void tee_keep(const char *path, int write);
void tee_keep(const char *path, int write)
{
    FILE *file = fopen(path, write ? "wb" : "rb");
    if (!file)
        return;
    MUST((write ? fwrite(storage, sizeof storage, 1, file) : fread(storage, sizeof storage, 1, file)) == 1);
    fclose(file);
}

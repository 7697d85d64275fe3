/* The part of GlobalPlatform's TEE Internal Core API 1.3.1 that the Trusted Application uses, written from the
   specification: to measure and test it where there is no TA dev kit. On a device the dev kit's own header is taken. */
#ifndef KK_TEE_INTERNAL_API_H
#define KK_TEE_INTERNAL_API_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t TEE_Result;
typedef struct __TEE_ObjectHandle *TEE_ObjectHandle;
typedef struct __TEE_OperationHandle *TEE_OperationHandle;
typedef uint32_t TEE_OperationMode;

typedef union {
    struct {
        void *buffer;
        size_t size;
    } memref;
    struct {
        uint32_t a, b;
    } value;
} TEE_Param;

typedef struct {
    uint32_t attributeID;
    union {
        struct {
            void *buffer;
            size_t length;
        } ref;
        struct {
            uint32_t a, b;
        } value;
    } content;
} TEE_Attribute;

#define TEE_HANDLE_NULL 0

#define TEE_SUCCESS 0x00000000
#define TEE_ERROR_CORRUPT_OBJECT 0xF0100001
#define TEE_ERROR_UNSUPPORTED_VERSION 0xF0100005
#define TEE_ERROR_GENERIC 0xFFFF0000
#define TEE_ERROR_BAD_FORMAT 0xFFFF0005
#define TEE_ERROR_BAD_PARAMETERS 0xFFFF0006
#define TEE_ERROR_BAD_STATE 0xFFFF0007
#define TEE_ERROR_ITEM_NOT_FOUND 0xFFFF0008
#define TEE_ERROR_NOT_SUPPORTED 0xFFFF000A
#define TEE_ERROR_OUT_OF_MEMORY 0xFFFF000C
#define TEE_ERROR_SECURITY 0xFFFF000F
#define TEE_ERROR_SHORT_BUFFER 0xFFFF0010
#define TEE_ERROR_OVERFLOW 0xFFFF300F
#define TEE_ERROR_MAC_INVALID 0xFFFF3071
#define TEE_ERROR_SIGNATURE_INVALID 0xFFFF3072

#define TEE_PARAM_TYPE_NONE 0
#define TEE_PARAM_TYPE_MEMREF_INPUT 5
#define TEE_PARAM_TYPE_MEMREF_OUTPUT 6
#define TEE_PARAM_TYPES(t0, t1, t2, t3) ((uint32_t)(t0) | (uint32_t)(t1) << 4 | (uint32_t)(t2) << 8 | (uint32_t)(t3) << 12)

#define TEE_MODE_DECRYPT 1
#define TEE_MODE_VERIFY 3
#define TEE_MODE_MAC 4
#define TEE_MODE_DIGEST 5
#define TEE_MODE_DERIVE 6

#define TEE_STORAGE_PRIVATE 0x00000001
#define TEE_DATA_FLAG_ACCESS_READ 0x00000001
#define TEE_DATA_FLAG_ACCESS_WRITE 0x00000002
#define TEE_DATA_FLAG_OVERWRITE 0x00000400

#define TEE_ALG_AES_GCM 0x40000810
#define TEE_ALG_SHA256 0x50000004
#define TEE_ALG_HMAC_SHA256 0x30000004
#define TEE_ALG_ECDSA_SHA256 0x70003042
#define TEE_ALG_X25519 0x80000044

#define TEE_TYPE_GENERIC_SECRET 0xA0000000
#define TEE_TYPE_HMAC_SHA256 0xA0000004
#define TEE_TYPE_AES 0xA0000010
#define TEE_TYPE_ECDSA_PUBLIC_KEY 0xA0000041
#define TEE_TYPE_X25519_KEYPAIR 0xA1000044

#define TEE_ATTR_SECRET_VALUE 0xC0000000
#define TEE_ATTR_ECC_PUBLIC_VALUE_X 0xD0000141
#define TEE_ATTR_ECC_PUBLIC_VALUE_Y 0xD0000241
#define TEE_ATTR_ECC_CURVE 0xF0000441
#define TEE_ATTR_X25519_PUBLIC_VALUE 0xD0000944
#define TEE_ECC_CURVE_NIST_P256 0x00000003

TEE_Result TA_CreateEntryPoint(void);
void TA_DestroyEntryPoint(void);
TEE_Result TA_OpenSessionEntryPoint(uint32_t types, TEE_Param params[4], void **session);
void TA_CloseSessionEntryPoint(void *session);
TEE_Result TA_InvokeCommandEntryPoint(void *session, uint32_t command, uint32_t types, TEE_Param params[4]);

void TEE_MemMove(void *to, const void *from, size_t bytes);

TEE_Result TEE_AllocateTransientObject(uint32_t type, uint32_t bits, TEE_ObjectHandle *object);
void TEE_FreeTransientObject(TEE_ObjectHandle object);
void TEE_InitRefAttribute(TEE_Attribute *attribute, uint32_t id, const void *buffer, size_t length);
void TEE_InitValueAttribute(TEE_Attribute *attribute, uint32_t id, uint32_t a, uint32_t b);
TEE_Result TEE_PopulateTransientObject(TEE_ObjectHandle object, const TEE_Attribute *attributes, uint32_t count);
TEE_Result TEE_GenerateKey(TEE_ObjectHandle object, uint32_t bits, const TEE_Attribute *parameters, uint32_t count);
TEE_Result TEE_GetObjectBufferAttribute(TEE_ObjectHandle object, uint32_t id, void *buffer, size_t *size);
void TEE_CloseObject(TEE_ObjectHandle object);

TEE_Result TEE_OpenPersistentObject(uint32_t storage, const void *id, size_t id_bytes, uint32_t flags,
                                    TEE_ObjectHandle *object);
TEE_Result TEE_CreatePersistentObject(uint32_t storage, const void *id, size_t id_bytes, uint32_t flags,
                                      TEE_ObjectHandle attributes, const void *data, size_t bytes,
                                      TEE_ObjectHandle *object);
TEE_Result TEE_ReadObjectData(TEE_ObjectHandle object, void *buffer, size_t size, size_t *count);

TEE_Result TEE_AllocateOperation(TEE_OperationHandle *operation, uint32_t algorithm, uint32_t mode, uint32_t bits);
void TEE_FreeOperation(TEE_OperationHandle operation);
TEE_Result TEE_SetOperationKey(TEE_OperationHandle operation, TEE_ObjectHandle key);

void TEE_DigestUpdate(TEE_OperationHandle operation, const void *chunk, size_t bytes);
TEE_Result TEE_DigestDoFinal(TEE_OperationHandle operation, const void *chunk, size_t bytes, void *hash, size_t *hash_bytes);
void TEE_MACInit(TEE_OperationHandle operation, const void *iv, size_t iv_bytes);
void TEE_MACUpdate(TEE_OperationHandle operation, const void *chunk, size_t bytes);
TEE_Result TEE_MACComputeFinal(TEE_OperationHandle operation, const void *message, size_t bytes, void *mac,
                               size_t *mac_bytes);
TEE_Result TEE_AEInit(TEE_OperationHandle operation, const void *nonce, size_t nonce_bytes, uint32_t tag_bits,
                      size_t aad_bytes, size_t payload_bytes);
void TEE_AEUpdateAAD(TEE_OperationHandle operation, const void *aad, size_t bytes);
TEE_Result TEE_AEUpdate(TEE_OperationHandle operation, const void *from, size_t from_bytes, void *to, size_t *to_bytes);
TEE_Result TEE_AEDecryptFinal(TEE_OperationHandle operation, const void *from, size_t from_bytes, void *to,
                              size_t *to_bytes, void *tag, size_t tag_bytes);
TEE_Result TEE_AsymmetricVerifyDigest(TEE_OperationHandle operation, const TEE_Attribute *parameters, uint32_t count,
                                      const void *digest, size_t digest_bytes, const void *signature,
                                      size_t signature_bytes);
void TEE_DeriveKey(TEE_OperationHandle operation, const TEE_Attribute *parameters, uint32_t count, TEE_ObjectHandle derived);

#endif

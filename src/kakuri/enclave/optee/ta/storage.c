/* What outlives the application: the device's key pair and the minimum version, in the TEE's private storage.

   Guarantees: the private key is made in the TEE and has no way out of it; the minimum version never falls.
   Does not guarantee: that an attacker with the flash chip cannot put back an old storage, unless OP-TEE keeps it in RPMB. */
#include "trusted.h"

static const char DEVICE[] = "kakuri-device-1", MINIMUM[] = "kakuri-minimum-1";

static TEE_Result make_device_key(TEE_ObjectHandle *device)
{
    TEE_ObjectHandle pair;
    TEE_Result result = TEE_AllocateTransientObject(TEE_TYPE_X25519_KEYPAIR, 256, &pair);
    if (result != TEE_SUCCESS)
        return result;
    result = TEE_GenerateKey(pair, 256, NULL, 0);
    if (result == TEE_SUCCESS)
        result = TEE_CreatePersistentObject(TEE_STORAGE_PRIVATE, DEVICE, sizeof DEVICE - 1, TEE_DATA_FLAG_ACCESS_READ, pair,
                                            NULL, 0, device);
    TEE_FreeTransientObject(pair);
    return result;
}

TEE_Result kk_device_key(TEE_ObjectHandle *device, unsigned char public_key[KEY_BYTES])
{
    size_t bytes = KEY_BYTES;
    TEE_Result result =
        TEE_OpenPersistentObject(TEE_STORAGE_PRIVATE, DEVICE, sizeof DEVICE - 1, TEE_DATA_FLAG_ACCESS_READ, device);
    if (result == TEE_ERROR_ITEM_NOT_FOUND)
        result = make_device_key(device);
    if (result != TEE_SUCCESS)
        return result;
    result = TEE_GetObjectBufferAttribute(*device, TEE_ATTR_X25519_PUBLIC_VALUE, public_key, &bytes);
    if (result == TEE_SUCCESS && bytes != KEY_BYTES)
        result = TEE_ERROR_CORRUPT_OBJECT;
    if (result != TEE_SUCCESS)
        TEE_CloseObject(*device);
    return result;
}

TEE_Result kk_minimum_version(uint32_t *version)
{
    TEE_ObjectHandle object;
    size_t bytes = 0;
    *version = 1;
    TEE_Result result =
        TEE_OpenPersistentObject(TEE_STORAGE_PRIVATE, MINIMUM, sizeof MINIMUM - 1, TEE_DATA_FLAG_ACCESS_READ, &object);
    if (result == TEE_ERROR_ITEM_NOT_FOUND)
        return TEE_SUCCESS;
    if (result != TEE_SUCCESS)
        return result;
    result = TEE_ReadObjectData(object, version, sizeof *version, &bytes);
    TEE_CloseObject(object);
    return result == TEE_SUCCESS && bytes != sizeof *version ? TEE_ERROR_CORRUPT_OBJECT : result;
}

TEE_Result kk_raise_minimum_version(uint32_t version)
{
    TEE_ObjectHandle object;
    uint32_t known;
    TEE_Result result = kk_minimum_version(&known);
    if (result != TEE_SUCCESS || version <= known)
        return result;
    result = TEE_CreatePersistentObject(TEE_STORAGE_PRIVATE, MINIMUM, sizeof MINIMUM - 1,
                                        TEE_DATA_FLAG_ACCESS_WRITE | TEE_DATA_FLAG_OVERWRITE, TEE_HANDLE_NULL, &version,
                                        sizeof version, &object);
    if (result == TEE_SUCCESS)
        TEE_CloseObject(object);
    return result;
}

/* The Trusted Application: what its parts share.

   Purpose: open a sealed package inside OP-TEE, keep its weights, compute, and let out what the policy allows.
   Guarantees: everything from the normal world is copied before it is looked at; lengths are compared with sizes that
   are fixed when this is compiled; nothing is computed before every tensor was authentic; no heap of its own, no
   recursion, no variable-length array. API: GlobalPlatform TEE Internal Core 1.3.1, as OP-TEE 4 has it.
   Does not guarantee: freshness where the secure storage can be rolled back (RPMB prevents that); side channels. */
#ifndef KK_TRUSTED_H
#define KK_TRUSTED_H

#include <stddef.h>
#include <stdint.h>
#include <tee_internal_api.h>

#include "sealed_index.h"
#include "ta_config.h"

enum {
    SIGNATURE_BYTES = 64,
    INDEX_BYTES = HEAD_BYTES + KK_TENSORS * RECORD_BYTES,
    SEALED_BYTES = INDEX_BYTES + SIGNATURE_BYTES + KK_CIPHERTEXT_BYTES,
    STAGING_BYTES = 16384
};

/* All memory of the application but its stack. */
struct memory {
    unsigned char weights[(KK_WEIGHTS_BYTES + 63) / 64 * 64] __attribute__((aligned(64)));
    unsigned char arena[KK_ARENA_BYTES] __attribute__((aligned(64)));
    unsigned char inputs[KK_INPUT_BYTES] __attribute__((aligned(64)));
    unsigned char outputs[KK_OUTPUT_BYTES] __attribute__((aligned(64)));
    unsigned char staging[STAGING_BYTES] __attribute__((aligned(64)));
    unsigned char index[INDEX_BYTES];
    unsigned char signature[SIGNATURE_BYTES];
    unsigned char data_key[KEY_BYTES];
};
extern struct memory kk_memory;

struct piece {
    const void *at;
    size_t bytes;
};

/* crypto.c: all of it the TEE's; HPKE is its composition. */
TEE_Result kk_sha256(const struct piece *pieces, int count, unsigned char digest[DIGEST_BYTES]);
TEE_Result kk_verify_index(const unsigned char *index, size_t index_bytes, const unsigned char *signature);
TEE_Result kk_hpke_open(TEE_ObjectHandle device, const unsigned char *device_public, const void *info, size_t info_bytes,
                        const unsigned char *sealed, unsigned char key[KEY_BYTES]);

/* gcm.c */
TEE_Result kk_gcm_new(TEE_OperationHandle *gcm, const unsigned char key[KEY_BYTES]);
TEE_Result kk_gcm_open(TEE_OperationHandle gcm, uint32_t number, const unsigned char *aad, size_t aad_bytes,
                       const unsigned char *shared, size_t bytes, unsigned char *to);

/* storage.c */
TEE_Result kk_device_key(TEE_ObjectHandle *device, unsigned char public_key[KEY_BYTES]);
TEE_Result kk_minimum_version(uint32_t *version);
TEE_Result kk_raise_minimum_version(uint32_t version);

/* package.c: shared is memory of the normal world. */
TEE_Result kk_load(const unsigned char *shared, size_t bytes);
TEE_Result kk_bind(const unsigned char nonce[DIGEST_BYTES], unsigned char digest[DIGEST_BYTES]);

/* infer.c */
TEE_Result kk_infer_all(const unsigned char *shared, size_t bytes, unsigned char *answers, size_t *answer_bytes);

void kk_wipe(void *from, size_t bytes);

#endif

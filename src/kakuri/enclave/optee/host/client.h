/* The normal world's side of the Trusted Application.

   Purpose: open once, load once, invoke many times; shared memory is allocated once, in kk_open.
   Guarantees: every function returns 0 or the TEE's error code; answers of a failed call are not touched. */
#ifndef KK_CLIENT_H
#define KK_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <tee_client_api.h>

#include "client_config.h"

struct kk_client {
    TEEC_Context context;
    TEEC_Session session;
    TEEC_SharedMemory in, out;
};

/* samples: the most that one kk_invoke takes. */
uint32_t kk_open(struct kk_client *client, size_t samples);
uint32_t kk_public_key(struct kk_client *client, unsigned char key[32]);
uint32_t kk_load_package(struct kk_client *client, const unsigned char *sealed, size_t bytes);
/* inputs: count times KK_INPUT_BYTES. answers: count times KK_ANSWER_BYTES. */
uint32_t kk_invoke(struct kk_client *client, const void *inputs, size_t count, void *answers);
/* digest: SHA-256 of a label, nonce, code digest, device key, package id and versions. No hardware signs it. */
uint32_t kk_attest(struct kk_client *client, const unsigned char nonce[32], unsigned char digest[32]);
void kk_close(struct kk_client *client);

#endif

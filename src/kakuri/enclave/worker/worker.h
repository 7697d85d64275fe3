/* The worker of the process backend: what its parts share.

   Purpose: a small program that opens a sealed package, holds weights and activations in secret memory and computes.
   Guarantees: every length from outside is checked against compiled-in sizes before use; nothing is computed before
   every tensor of the package was authentic; an error leaves no weight behind. One thread, no heap of its own.
   Does not guarantee: anything against root or the kernel. It is a sandbox, not a TEE. */
#ifndef KK_WORKER_H
#define KK_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "enclave_config.h"
#include "sealed_index.h"

enum {
    POINT_BYTES = 65,
    MAX_TENSORS = 4096,
    MAX_SIGNATURE_BYTES = 80,
    HPKE_OVERHEAD_BYTES = KEY_BYTES + TAG_BYTES
};

/* Answers to the normal world. Python names them in kakuri/enclave/backends/process.py. */
enum status {
    DONE = 0,
    BAD_REQUEST = 1,
    OVER_BUDGET = 2,
    NO_MEMORY = 3,
    NO_SANDBOX = 4,
    BAD_KEY_FILE = 5,
    BAD_SIGNATURE = 6,
    OTHER_CODE = 7,
    OLD_VERSION = 8,
    BAD_INDEX = 9,
    NOT_FOR_THIS_KEY = 10,
    BAD_TENSOR = 11,
    NOT_LOADED = 12,
    BAD_SEALED_INPUT = 13,
    REPLAYED = 14,
    COMPUTE_FAILED = 15
};

/* Secret memory: one mapping, planned at compile time. message: 32 bytes for the caller's key, then the inputs. */
struct secret {
    unsigned char weights[(KK_WEIGHTS_BYTES + 63) / 64 * 64] __attribute__((aligned(64)));
    unsigned char arena[KK_ARENA_BYTES] __attribute__((aligned(64)));
    unsigned char outputs[KK_OUTPUT_BYTES] __attribute__((aligned(64)));
    unsigned char message[64 + KK_INPUT_BYTES] __attribute__((aligned(64)));
    unsigned char device_key[KEY_BYTES];
    unsigned char device_public[KEY_BYTES];
    unsigned char session_key[KEY_BYTES];
    unsigned char data_key[KEY_BYTES];
    uint32_t wrap;
};

enum memory_kind { MEMORY_SECRET = 1, MEMORY_LOCKED = 2, MEMORY_SWAPPABLE = 3 };

/* memory.c: NULL when no allowed kind of memory can be had. */
struct secret *secret_memory(int allow_swappable, enum memory_kind *kind);
void wipe(void *from, size_t bytes);

/* sandbox.c */
int no_dumps(void);
int enter_sandbox(int *landlock_abi);

/* crypto.c: 0 is success. */
struct hpke {
    unsigned char key[KEY_BYTES];
    unsigned char nonce[12];
};
int crypto_ready(void);
int sha256(unsigned char digest[DIGEST_BYTES], const void *const parts[], const size_t bytes[], int count);
int verify_p256(const unsigned char point[POINT_BYTES], const unsigned char *signature, size_t signature_bytes,
                const char *label, const unsigned char *data, size_t data_bytes);
/* One message in pieces, in place or not: what gcm_next gives is authentic only once gcm_end says so. gcm_end frees;
   without a tag it refuses. */
struct evp_cipher_ctx_st *gcm_begin(const unsigned char key[KEY_BYTES], const unsigned char nonce[12],
                                    const unsigned char *aad, size_t aad_bytes);
int gcm_next(struct evp_cipher_ctx_st *context, const unsigned char *from, size_t bytes, unsigned char *to);
int gcm_end(struct evp_cipher_ctx_st *context, const unsigned char *tag);
int gcm_open(const unsigned char key[KEY_BYTES], const unsigned char nonce[12], const unsigned char *aad, size_t aad_bytes,
             const unsigned char *from, size_t bytes, const unsigned char tag[TAG_BYTES], unsigned char *to);
int x25519_new(unsigned char private_key[KEY_BYTES], unsigned char public_key[KEY_BYTES]);
int x25519_public(const unsigned char private_key[KEY_BYTES], unsigned char public_key[KEY_BYTES]);
int hpke_open(const unsigned char private_key[KEY_BYTES], const unsigned char public_key[KEY_BYTES],
              const unsigned char *info, size_t info_bytes, const unsigned char *sealed, size_t sealed_bytes,
              unsigned char *to);
int hpke_seal(const unsigned char public_key[KEY_BYTES], const unsigned char *info, size_t info_bytes,
              const unsigned char *from, size_t bytes, unsigned char *sealed);

/* package.c */
struct policy {
    uint64_t budget_bytes;
    uint32_t minimum_version;
    uint32_t allow_swappable;
    unsigned char signer[POINT_BYTES];
    unsigned char padding[7];
};
struct loaded {
    unsigned char package_id[16];
    uint32_t version;
    uint32_t minimum_version;
};
/* wrap: which of the two kinds the key file is, as the index has it. */
enum { WRAP_HPKE = 1, WRAP_SYMMETRIC = 2 };
enum status read_device_key(int file, unsigned char key[KEY_BYTES], uint32_t *wrap);
enum status load_package(int file, const struct policy *policy, const unsigned char *index, size_t index_bytes,
                         const unsigned char *signature, size_t signature_bytes, const uint64_t *positions,
                         size_t position_count, struct secret *secret, struct loaded *loaded);

#endif

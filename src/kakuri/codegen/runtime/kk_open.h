/* How sealed weights are opened: by a function of the caller's, so that no cipher is part of this code.
 *
 * AES-256-GCM: `sealed` is a nonce (12 bytes), `bytes` bytes of ciphertext, and the tag (16 bytes); `label` is authenticated
 * with it. Writes `bytes` bytes to `plain` and returns 0; or returns not 0 and leaves nothing of them there.
 * open_libcrypto.c is one for OpenSSL 3, open_tee.c one for the GlobalPlatform TEE API.
 */
#ifndef KK_OPEN_H
#define KK_OPEN_H
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int (*kk_open_fn)(void *key, const void *label, size_t label_bytes, const void *sealed, size_t bytes, void *plain);

/* key: 32 bytes. */
int kk_open_libcrypto(void *key, const void *label, size_t label_bytes, const void *sealed, size_t bytes, void *plain);

#ifdef __cplusplus
}
#endif
#endif

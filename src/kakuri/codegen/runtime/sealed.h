/* Sealed weights: an identity (16 bytes), then pieces (see kk_open.h). A piece's label is the digest of the code that
 * opens it, the identity, and its number. */
#include "kk_open.h"
#include <stdint.h>
#include <string.h>

enum { KK_CODE_BYTES = 32, KK_IDENTITY_BYTES = 16, KK_OVERHEAD_BYTES = 28 };

typedef struct {
    kk_open_fn open;
    void *key;
    const unsigned char *sealed;
    unsigned char label[KK_CODE_BYTES + KK_IDENTITY_BYTES + 4];
} kk_sealed;

static inline __attribute__((unused)) void kk_seal_begin(kk_sealed *o, kk_open_fn open, void *key, const void *sealed,
                                                         const unsigned char *code)
{
    o->open = open;
    o->key = key;
    o->sealed = sealed;
    memcpy(o->label, code, KK_CODE_BYTES);
    memcpy(o->label + KK_CODE_BYTES, sealed, KK_IDENTITY_BYTES);
}

/* Piece `number`, `bytes` bytes of plaintext, which lies `at` bytes from the start. */
static inline __attribute__((unused)) int kk_open_piece(kk_sealed *o, uint32_t number, size_t at, size_t bytes, void *plain)
{
    for (int i = 0; i < 4; i++)
        o->label[KK_CODE_BYTES + KK_IDENTITY_BYTES + i] = (unsigned char)(number >> (8 * i));
    return o->open(o->key, o->label, sizeof o->label, o->sealed + at, bytes, plain);
}

static inline __attribute__((unused)) void kk_wipe(void *memory, size_t bytes)
{
    memset(memory, 0, bytes);
    __asm__ volatile("" : : "r"(memory) : "memory");
}

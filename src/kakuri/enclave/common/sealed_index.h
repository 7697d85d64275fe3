/* Layout of the index of a sealed package, for every program that opens one.

   Purpose: one place for offsets, sizes and labels; kakuri/enclave/index.py writes what is read here.
   Guarantees: constants and two reads of little-endian numbers, nothing else.
   Does not guarantee: a big-endian machine. */
#ifndef KK_SEALED_INDEX_H
#define KK_SEALED_INDEX_H

#include <stdint.h>
#include <string.h>

static const char KK_INDEX_MAGIC[8] = {'K', 'K', 'E', 'N', 'C', 'L', '1', '\n'};

#define KK_WRAP_LABEL "kakuri-enclave-wrap-1\n"

enum {
    KEY_BYTES = 32,
    TAG_BYTES = 16,
    NONCE_BYTES = 12,
    DIGEST_BYTES = 32,
    HEAD_BYTES = 192,
    RECORD_BYTES = 192,
    AT_ID = 8,
    AT_VERSION = 24,
    AT_MINIMUM = 28,
    AT_CODE = 32,
    AT_WEIGHTS_BYTES = 96,
    AT_TENSORS = 104,
    AT_WRAP = 108,
    AT_WRAPPED = 112,
    AT_OFFSET = 168, /* from here: of a record */
    AT_BYTES = 176
};

static inline uint32_t kk_u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t kk_u64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

#endif

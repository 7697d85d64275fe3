/* The part of GlobalPlatform's TEE Client API 1.0 that the client uses, written from the specification: to test it where
   there is no OP-TEE client library. On a device that library's own header is taken. */
#ifndef KK_TEE_CLIENT_API_H
#define KK_TEE_CLIENT_API_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t TEEC_Result;

typedef struct {
    uint32_t timeLow;
    uint16_t timeMid, timeHiAndVersion;
    uint8_t clockSeqAndNode[8];
} TEEC_UUID;

typedef struct {
    void *imp;
} TEEC_Context;

typedef struct {
    void *imp;
} TEEC_Session;

typedef struct {
    void *buffer;
    size_t size;
    uint32_t flags;
    void *imp;
} TEEC_SharedMemory;

typedef union {
    struct {
        void *buffer;
        size_t size;
    } tmpref;
    struct {
        TEEC_SharedMemory *parent;
        size_t size, offset;
    } memref;
    struct {
        uint32_t a, b;
    } value;
} TEEC_Parameter;

typedef struct {
    uint32_t started, paramTypes;
    TEEC_Parameter params[4];
    void *imp;
} TEEC_Operation;

#define TEEC_SUCCESS 0x00000000
#define TEEC_ERROR_GENERIC 0xFFFF0000
#define TEEC_ERROR_BAD_PARAMETERS 0xFFFF0006
#define TEEC_ERROR_ITEM_NOT_FOUND 0xFFFF0008
#define TEEC_ERROR_OUT_OF_MEMORY 0xFFFF000C
#define TEEC_LOGIN_PUBLIC 0x00000000
#define TEEC_MEM_INPUT 0x00000001
#define TEEC_MEM_OUTPUT 0x00000002
#define TEEC_NONE 0x00000000
#define TEEC_MEMREF_PARTIAL_INPUT 0x0000000D
#define TEEC_MEMREF_PARTIAL_OUTPUT 0x0000000E
#define TEEC_PARAM_TYPES(p0, p1, p2, p3) ((p0) | (p1) << 4 | (p2) << 8 | (p3) << 12)

TEEC_Result TEEC_InitializeContext(const char *name, TEEC_Context *context);
void TEEC_FinalizeContext(TEEC_Context *context);
TEEC_Result TEEC_AllocateSharedMemory(TEEC_Context *context, TEEC_SharedMemory *memory);
void TEEC_ReleaseSharedMemory(TEEC_SharedMemory *memory);
TEEC_Result TEEC_OpenSession(TEEC_Context *context, TEEC_Session *session, const TEEC_UUID *destination,
                             uint32_t connection_method, const void *connection_data, TEEC_Operation *operation,
                             uint32_t *origin);
void TEEC_CloseSession(TEEC_Session *session);
TEEC_Result TEEC_InvokeCommand(TEEC_Session *session, uint32_t command, TEEC_Operation *operation, uint32_t *origin);

#endif

/* The worker's conversation with the normal world, over the stream socket that is its standard input.

   Requests and replies begin with 16 bytes: u32 what (request) or status (reply), u32 count, u64 bytes that follow.
   Every request names a length that is known beforehand; any other ends the worker. Descriptors: 0 the socket, 3 the
   package, 4 the device's key file; all others are closed. */
#define _GNU_SOURCE
#include <openssl/crypto.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "worker.h"

enum { SOCKET = 0, PACKAGE = 3, KEY_FILE = 4 };
enum request { START = 1, LOAD = 2, INVOKE = 3, INVOKE_SEALED = 4, ATTEST = 5 };
enum { MAX_INDEX_BYTES = HEAD_BYTES + MAX_TENSORS * RECORD_BYTES, AT_INPUTS = 64 };

struct head {
    uint32_t what, count;
    uint64_t bytes;
};

static struct secret *secret;
static struct policy policy;
static struct loaded loaded;
static int is_loaded;
static uint64_t last_counter;
static unsigned char session_public[KEY_BYTES];
static unsigned char index_bytes[MAX_INDEX_BYTES];
static uint64_t positions[MAX_TENSORS];
static unsigned char sealed[HPKE_OVERHEAD_BYTES + KEY_BYTES + KK_INPUT_BYTES + KK_OUTPUT_BYTES];

static void stop(int code)
{
    if (secret)
        wipe(secret, sizeof *secret);
    _exit(code);
}

static void take(void *to, size_t bytes)
{
    for (unsigned char *at = to; bytes;) {
        ssize_t got = read(SOCKET, at, bytes);
        if (got <= 0)
            stop(got < 0);
        at += got;
        bytes -= (size_t)got;
    }
}

static void give(const void *from, size_t bytes)
{
    for (const unsigned char *at = from; bytes;) {
        ssize_t put = write(SOCKET, at, bytes);
        if (put <= 0)
            stop(1);
        at += put;
        bytes -= (size_t)put;
    }
}

/* The head and the first part of what follows it, in one system call where the socket takes both. */
static void give_head(const struct head *head, const void *payload, size_t bytes)
{
    struct iovec parts[] = {{(void *)head, sizeof *head}, {(void *)payload, bytes}};
    ssize_t put = writev(SOCKET, parts, 2);
    if (put < (ssize_t)sizeof *head)
        stop(1);
    give((const unsigned char *)payload + (put - (ssize_t)sizeof *head), bytes + sizeof *head - (size_t)put);
}

static void reply(enum status status, uint32_t count, const void *payload, size_t bytes)
{
    struct head head = {status, count, bytes};
    give_head(&head, payload, bytes);
}

static void refuse(enum status status)
{
    reply(status, 0, "", 0);
}

static int compute(void)
{
    const void *inputs[KK_INPUTS];
    void *outputs[KK_OUTPUTS];
    static const size_t input_sizes[] = KK_INPUT_SIZES, output_sizes[] = KK_OUTPUT_SIZES;
    size_t at = 0;
    for (int i = 0; i < KK_INPUTS; at += input_sizes[i++])
        inputs[i] = secret->message + AT_INPUTS + at;
    at = 0;
    for (int i = 0; i < KK_OUTPUTS; at += output_sizes[i++])
        outputs[i] = secret->outputs + at;
    return kk_infer(inputs, outputs, secret->arena, sizeof secret->arena, secret->weights, KK_WEIGHTS_BYTES);
}

/* Budget, memory, key, sandbox: after this nothing can be opened any more. */
static void start(const struct head *head)
{
    enum memory_kind kind;
    int abi = 0;
    struct {
        uint32_t memory, landlock_abi;
        uint64_t secure_bytes;
        unsigned char session_public[KEY_BYTES];
    } report = {0};
    if (secret || head->bytes != sizeof policy)
        stop(1);
    take(&policy, sizeof policy);
    report.secure_bytes = sizeof *secret;
    if (sizeof *secret > policy.budget_bytes) {
        reply(OVER_BUDGET, 0, &report, sizeof report);
        stop(1);
    }
    struct secret *made = secret_memory(policy.allow_swappable == 1, &kind);
    if (!made) {
        refuse(NO_MEMORY);
        stop(1);
    }
    secret = made;
    wipe(secret, sizeof *secret); /* touches every page: memory that cannot be had shows before a key is read */
    enum status status = crypto_ready() || x25519_new(secret->session_key, session_public)
                             ? NO_SANDBOX
                             : read_device_key(KEY_FILE, secret->device_key, &secret->wrap);
    if (status == DONE && (x25519_public(secret->device_key, secret->device_public) || enter_sandbox(&abi)))
        status = NO_SANDBOX;
    if (status != DONE) {
        refuse(status);
        stop(1);
    }
    report.memory = kind;
    report.landlock_abi = (uint32_t)abi;
    memcpy(report.session_public, session_public, KEY_BYTES);
    reply(DONE, 0, &report, sizeof report);
}

static void load(const struct head *head)
{
    struct {
        uint32_t index_bytes, signature_bytes, positions, zero;
    } sizes;
    unsigned char signature[MAX_SIGNATURE_BYTES];
    if (head->bytes < sizeof sizes)
        stop(1);
    take(&sizes, sizeof sizes);
    if (sizes.index_bytes > sizeof index_bytes || sizes.signature_bytes > sizeof signature ||
        sizes.positions > MAX_TENSORS ||
        head->bytes != sizeof sizes + sizes.index_bytes + sizes.signature_bytes + 8ull * sizes.positions)
        stop(1);
    take(index_bytes, sizes.index_bytes);
    take(signature, sizes.signature_bytes);
    take(positions, 8ull * sizes.positions);
    if (is_loaded)
        wipe(secret->weights, sizeof secret->weights);
    is_loaded = 0;
    enum status status = load_package(PACKAGE, &policy, index_bytes, sizes.index_bytes, signature, sizes.signature_bytes,
                                      positions, sizes.positions, secret, &loaded);
    is_loaded = status == DONE;
    reply(status, 0, &loaded, is_loaded ? sizeof loaded : 0);
}

static void invoke(const struct head *head)
{
    if (!head->count || head->bytes != (uint64_t)head->count * KK_INPUT_BYTES)
        stop(1);
    if (!is_loaded) {
        for (uint32_t i = 0; i < head->count; i++)
            take(secret->message + AT_INPUTS, KK_INPUT_BYTES);
        refuse(NOT_LOADED);
        return;
    }
    struct head answer = {DONE, head->count, (uint64_t)head->count * KK_OUTPUT_BYTES};
    for (uint32_t i = 0; i < head->count; i++) {
        take(secret->message + AT_INPUTS, KK_INPUT_BYTES);
        if (compute())
            stop(1);
        if (i == 0)
            give_head(&answer, secret->outputs, KK_OUTPUT_BYTES);
        else
            give(secret->outputs, KK_OUTPUT_BYTES);
    }
}

/* The sealed message: the caller's public key and the inputs. The answer goes to that key; a counter stops replays. */
static void invoke_sealed(const struct head *head)
{
    enum { PLAIN = KEY_BYTES + KK_INPUT_BYTES, SEALED = HPKE_OVERHEAD_BYTES + PLAIN };
    struct {
        char label[24];
        unsigned char session_public[KEY_BYTES];
        uint64_t counter;
    } info = {"kakuri-enclave-input-1\n", {0}, 0};
    if (head->bytes != 8 + SEALED)
        stop(1);
    take(&info.counter, sizeof info.counter);
    take(sealed, SEALED);
    memcpy(info.session_public, session_public, KEY_BYTES);
    if (!is_loaded) {
        refuse(NOT_LOADED);
    } else if (info.counter <= last_counter) {
        refuse(REPLAYED);
    } else if (hpke_open(secret->session_key, session_public, (unsigned char *)&info, sizeof info, sealed, SEALED,
                         secret->message + AT_INPUTS - KEY_BYTES)) {
        refuse(BAD_SEALED_INPUT);
    } else {
        last_counter = info.counter;
        memcpy(info.label, "kakuri-enclave-answer-1\n", sizeof info.label);
        if (compute())
            stop(1);
        if (hpke_seal(secret->message + AT_INPUTS - KEY_BYTES, (unsigned char *)&info, sizeof info, secret->outputs,
                      KK_OUTPUT_BYTES, sealed))
            refuse(BAD_SEALED_INPUT);
        else
            reply(DONE, 1, sealed, HPKE_OVERHEAD_BYTES + KK_OUTPUT_BYTES);
    }
}

static void attest(const struct head *head)
{
    static const char label[] = "kakuri-enclave-attest-1\n";
    static const unsigned char code[DIGEST_BYTES] = KK_CODE_DIGEST;
    unsigned char nonce[DIGEST_BYTES], digest[DIGEST_BYTES];
    if (head->bytes != sizeof nonce)
        stop(1);
    take(nonce, sizeof nonce);
    const void *parts[] = {label, nonce, code, session_public, &loaded};
    size_t bytes[] = {sizeof label - 1, sizeof nonce, sizeof code, KEY_BYTES, sizeof loaded};
    if (!is_loaded || sha256(digest, parts, bytes, 5))
        refuse(NOT_LOADED);
    else
        reply(DONE, 0, digest, sizeof digest);
}

int main(void)
{
    if (no_dumps() || syscall(SYS_close_range, 1u, 2u, 0u) || syscall(SYS_close_range, 5u, ~0u, 0u))
        return 1;
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
    for (;;) {
        struct head head;
        take(&head, sizeof head);
        if (head.what != START && !secret)
            stop(1);
        switch (head.what) {
        case START:
            start(&head);
            break;
        case LOAD:
            load(&head);
            break;
        case INVOKE:
            invoke(&head);
            break;
        case INVOKE_SEALED:
            invoke_sealed(&head);
            break;
        case ATTEST:
            attest(&head);
            break;
        default:
            stop(1);
        }
    }
}

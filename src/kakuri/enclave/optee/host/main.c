/* usage: client key                          the device's public key, 64 digits: packages are sealed to it
          client run PACKAGE INPUTS ANSWERS   files; INPUTS holds boundary values, sample by sample
          client attest PACKAGE NONCE         what is loaded, bound to the nonce in that file (32 bytes)
   Every answer is given under the guarantee that GUARANTEE.txt states; its first line goes to standard error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

enum { SAMPLES = 64 };

static unsigned char *read_file(const char *name, size_t *bytes)
{
    FILE *file = fopen(name, "rb");
    unsigned char *data = NULL;
    long end;
    if (file && fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) > 0 && fseek(file, 0, SEEK_SET) == 0) {
        *bytes = (size_t)end;
        data = malloc(*bytes);
        if (data && fread(data, 1, *bytes, file) != *bytes) {
            free(data);
            data = NULL;
        }
    }
    if (file)
        fclose(file);
    if (!data)
        fprintf(stderr, "cannot read %s\n", name);
    return data;
}

static int refused(const char *what, uint32_t result)
{
    fprintf(stderr, "%s: the Trusted Application says 0x%08x\n", what, result);
    return 1;
}

static int show(const unsigned char bytes[32])
{
    for (size_t i = 0; i < 32; i++)
        printf("%02x", bytes[i]);
    printf("\n");
    return 0;
}

static int show_key(struct kk_client *client)
{
    unsigned char key[32];
    uint32_t result = kk_public_key(client, key);
    return result ? refused("key", result) : show(key);
}

static int answer_all(struct kk_client *client, const unsigned char *inputs, size_t bytes, const char *name)
{
    static unsigned char answers[SAMPLES * KK_ANSWER_BYTES];
    size_t count = bytes / KK_INPUT_BYTES, part;
    FILE *file = fopen(name, "wb");
    int failed = !file || bytes % KK_INPUT_BYTES != 0;
    for (size_t at = 0; at < count && !failed; at += part) {
        part = count - at < SAMPLES ? count - at : SAMPLES;
        uint32_t result = kk_invoke(client, inputs + at * KK_INPUT_BYTES, part, answers);
        failed = result ? refused("invoke", result) : fwrite(answers, KK_ANSWER_BYTES, part, file) != part;
    }
    if (file && fclose(file))
        failed = 1;
    return failed;
}

static int attest(struct kk_client *client, const unsigned char *nonce, size_t bytes)
{
    unsigned char digest[32];
    if (bytes != 32) {
        fprintf(stderr, "a nonce has 32 bytes\n");
        return 1;
    }
    uint32_t result = kk_attest(client, nonce, digest);
    return result ? refused("attest", result) : show(digest);
}

/* names: the package, inputs or nonce, and the file for answers, or NULL to attest. */
static int run(struct kk_client *client, char **names)
{
    size_t package_bytes, input_bytes;
    unsigned char *package = read_file(names[0], &package_bytes), *inputs = read_file(names[1], &input_bytes);
    int failed = !package || !inputs;
    if (!failed) {
        uint32_t result = kk_load_package(client, package, package_bytes);
        if (result)
            failed = refused("load", result);
        else
            failed = names[2] ? answer_all(client, inputs, input_bytes, names[2]) : attest(client, inputs, input_bytes);
    }
    free(package);
    free(inputs);
    return failed;
}

int main(int argc, char **argv)
{
    struct kk_client client;
    int key = argc == 2 && strcmp(argv[1], "key") == 0, attests = argc == 4 && strcmp(argv[1], "attest") == 0;
    if (!key && !attests && (argc != 5 || strcmp(argv[1], "run"))) {
        fprintf(stderr, "usage: client key | client run PACKAGE INPUTS ANSWERS | client attest PACKAGE NONCE\n");
        return 2;
    }
    fprintf(stderr, "%s\n", KK_GUARANTEE);
    uint32_t result = kk_open(&client, SAMPLES);
    if (result)
        return refused("open", result);
    int failed = key ? show_key(&client) : run(&client, argv + 2);
    kk_close(&client);
    return failed;
}

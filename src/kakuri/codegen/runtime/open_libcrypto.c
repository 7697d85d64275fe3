/* kk_open_fn on OpenSSL 3's libcrypto. key: 32 bytes. Any number of threads may call it. */
#include "kk_open.h"
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { NONCE_BYTES = 12, TAG_BYTES = 16 };

static int opened(EVP_CIPHER_CTX *gcm, const unsigned char *key, const void *label, size_t label_bytes,
                  const unsigned char *sealed, int bytes, unsigned char *plain)
{
    unsigned char *tag = (unsigned char *)sealed + NONCE_BYTES + bytes; /* read only; the parameter is not const */
    int done = 0, rest = 0;
    return EVP_DecryptInit_ex(gcm, EVP_aes_256_gcm(), NULL, key, sealed) == 1 &&
           EVP_DecryptUpdate(gcm, NULL, &done, label, (int)label_bytes) == 1 &&
           EVP_DecryptUpdate(gcm, plain, &done, sealed + NONCE_BYTES, bytes) == 1 &&
           EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(gcm, plain + done, &rest) == 1 && done + rest == bytes;
}

int kk_open_libcrypto(void *key, const void *label, size_t label_bytes, const void *sealed, size_t bytes, void *plain)
{
    if (bytes > INT_MAX || label_bytes > INT_MAX)
        return 1;
    EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();
    int right = gcm && opened(gcm, key, label, label_bytes, sealed, (int)bytes, plain);
    EVP_CIPHER_CTX_free(gcm);
    if (!right)
        OPENSSL_cleanse(plain, bytes);
    return !right;
}

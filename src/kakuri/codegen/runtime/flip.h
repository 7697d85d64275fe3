/* Signed bytes as unsigned ones, 128 higher, and back. */
KK_FUNCTION void kk_flip(const void *from, void *to, size_t bytes)
{
    const char *p = from;
    char *q = to;
    for (; bytes >= 8; bytes -= 8, p += 8, q += 8) {
        uint64_t eight;
        memcpy(&eight, p, 8);
        eight ^= 0x8080808080808080u;
        memcpy(q, &eight, 8);
    }
    for (; bytes; bytes--)
        *q++ = (char)(*p++ ^ -128);
}

/* A map of which only some rows are in memory: those that its reader still needs. */
typedef struct {
    float *at;                    /* row `first` */
    ptrdiff_t row;                /* floats of a row, padding at both ends included */
    int32_t rows, first, done;    /* rows of the map; the first in memory; the next to be computed */
} kk_rolling;

KK_INLINE int kk_least(int a, int b) { return a < b ? a : b; }

/* room: rows that fit. left, right: floats of padding. Rows above the map are padding, too. */
KK_FUNCTION void kk_roll_begin(kk_rolling *m, int room, int left, int right)
{
    for (int y = 0; y < room && left + right; y++) {
        memset(m->at + y * m->row, 0, (size_t)left * 4);
        memset(m->at + (y + 1) * m->row - right, 0, (size_t)right * 4);
    }
    if (m->first < 0)
        memset(m->at, 0, (size_t)(-m->first * m->row) * 4);
}

/* Afterwards the rows `from` to `to` are those in memory, but for the ones still to be computed. */
KK_FUNCTION void kk_roll(kk_rolling *m, int from, int to)
{
    for (int y = from; y < m->done && from > m->first; y++)
        memcpy(m->at + (y - from) * m->row, m->at + (y - m->first) * m->row, (size_t)m->row * 4);
    m->first = from;
    m->done = m->done < from ? from : m->done;
    int below = m->rows < from ? from : m->rows;
    if (to > below)
        memset(m->at + (below - from) * m->row, 0, (size_t)((to - below) * m->row) * 4);
}

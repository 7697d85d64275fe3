// Purpose: the inner loops as one table of functions per element type; dispatch.cpp chooses the table at run time.
// Guarantees: a function reads and writes only what its arguments describe; `out` is written once per element and never
//   read, so that it may lie in memory that an adversary watches.
// Conventions: matrices are row-major and contiguous; [begin, end) are tiles, so that threads can share a call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kakuri::blinding {

inline constexpr std::size_t kRounds = 2;
inline constexpr std::size_t kBlock = 64;
inline constexpr std::size_t kMostVectors = 32;  // probes, or factors, of a look
inline constexpr std::size_t kMostWeights = 2;

// An orthogonal matrix of `size` coordinates. Round r takes index[r][j] times factor[r][j] as coordinate j and applies
// Hadamard transforms, without their scale, to blocks of 64, at the end of 32, 16, ... coordinates.
template <typename T>
struct MixingView {
    std::size_t size;
    const std::int32_t* index[kRounds];
    const T* factor[kRounds];
};

// Coordinate j is index[j] times factor[j].
template <typename T>
struct ReorderingView {
    std::size_t size;
    const std::int32_t* index;
    const T* factor;
};

// The rows of data (rows, n), then those of shields (count, n), then these times sign.
template <typename T>
struct RowsOf {
    const T* data;
    std::size_t rows;
    const T* shields;
    std::size_t count;
    T sign;
};

// What verification asks of a matrix x (rows, n). Null or zero: not asked.
template <typename T>
struct LookAt {
    std::size_t rows, n;
    const T* probes;       // (k, n)
    std::size_t k;
    const T* weights;      // (w, n)
    std::size_t w;
    T* dots;               // (k, rows): probes x^T
    T* squares;            // (w + 1, rows): the row's squares summed with each of weights, and without
    const T* factor;       // (factors, rows)
    std::size_t factors;
    const T* row_weights;  // (rows,)
    T* sums;               // (factors + 1, n): factor x, and the column's squares summed with row_weights
};

// sums (factors + 1, n): as of `at`, whose own is a thread's; null: not asked. total: the rows' squares without weights.
// seconds: processor time that looking took.
template <typename T>
struct Look {
    LookAt<T> at;
    double* sums;
    double total;
    double seconds;
};

// Products of b rows with k probes as an operand promises them and an answer has them, both (k, b), and what the variance
// of their difference is made of: floor and squares (b,) with their factors.
template <typename T>
struct Residuals {
    const T* promised;
    const T* found;
    std::size_t k, b;
    const T* squares[3];
    double factors[3];
    double floor;
};

// A tile is `tile` rows as n vectors, one per column, each a row per lane.
template <typename T>
struct ElementKernels {
    // Rows rows.index[...], or all in their order when it is null, as tiles; when something is undone, times rows.factor.
    void (*reorder_in)(const T* x, ReorderingView<T> rows, std::size_t n, bool undo, T* tiles, std::size_t begin,
                       std::size_t end);
    // out[i, j] = column columns.index[j] of row i, times columns.factor[j]; unless something is undone times rows.factor[i].
    void (*reorder_out)(const T* tiles, ReorderingView<T> rows, ReorderingView<T> columns, bool undo, T* out,
                        std::size_t begin, std::size_t end);
    // Every row of x (b, n) mixed; n = q.size. Tiles: `tile` rows. workspace: 2 * tile * n elements.
    void (*mix_columns)(const T* x, std::size_t b, MixingView<T> q, bool undo, T* out, T* workspace,
                        std::size_t begin, std::size_t end);
    // Rows mixed by p and columns by q, in two rounds of rows with all of them (p.size, stride) in between. mix_first: the
    // first round of blocks [begin, end) of 64 rows. mix_second: the second of one block, as tiles of whole rows (64, n).
    // mix_out: tiles of `rows` rows, from `first` on, with their columns mixed; workspace: tile * n elements.
    void (*mix_first)(RowsOf<T> x, std::size_t n, MixingView<T> p, T* between, std::size_t stride, std::size_t begin,
                      std::size_t end);
    void (*mix_second)(const T* between, std::size_t stride, std::size_t n, MixingView<T> p, T* tiles,
                       std::size_t block);
    void (*mix_out)(const T* tiles, MixingView<T> q, T* out, T* workspace, std::size_t first, std::size_t rows);
    // The inverses, in the inverse order; of the result only the first `rows` rows are kept.
    void (*undo_in)(const T* y, MixingView<T> q, T* tiles, T* workspace, std::size_t first, std::size_t rows);
    void (*undo_first)(const T* tiles, std::size_t n, MixingView<T> p, T* between, std::size_t stride,
                       std::size_t block);
    void (*undo_second)(const T* between, std::size_t stride, std::size_t n, MixingView<T> p, std::size_t rows, T* out,
                        std::size_t begin, std::size_t end);
    // What `at` asks of `count` rows in tiles; they are those in index[first ...], or from `first` on when index is null.
    void (*look)(const T* tiles, const LookAt<T>& at, const std::int32_t* index, std::size_t first, std::size_t count);
    // at.sums grows by sums over rows [first, first + count) of x (at.rows, at.n) as they are.
    void (*sum_rows)(const T* x, const LookAt<T>& at, std::size_t first, std::size_t count);
    // The largest squared difference over its variance; infinite when anything is not a number.
    double (*worst)(const Residuals<T>& residuals);
    std::size_t tile;
};

struct Kernels {
    const char* name;
    ElementKernels<float> single;
    ElementKernels<double> wide;

    template <typename T>
    const ElementKernels<T>& of() const {
        if constexpr (sizeof(T) == sizeof(float))
            return single;
        else
            return wide;
    }
};

// Null where the processor lacks the instructions.
const Kernels* avx512_kernels();
const Kernels* avx2_kernels();
const Kernels* portable_kernels();

}  // namespace kakuri::blinding

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

// What verification asks of a matrix x (b, n). Null or zero: not asked.
template <typename T>
struct LookAt {
    // Of some rows of `stride` numbers, the first `count` from `data` on.
    struct Numbers {
        const T* data;
        std::size_t stride;
        std::size_t count;
    };
    std::size_t n;
    const T* probes;         // (k, n)
    std::size_t k;
    const T* weights;        // (w, n)
    std::size_t w;
    T* dots;                 // (b, k): x probes^T
    T* squares;              // (b, w + 1): the row's squares summed with each of weights, and without
    Numbers factors;         // (b, count)
    const T* row_weights;    // (b,)
    T* sums;                 // (count, n), added to: factors^T x
    T* noise;                // (n,), added to: the column's squares summed with row_weights
};

// seconds: processor time that looking took.
template <typename T>
struct Look {
    LookAt<T> at;
    double seconds;
};

template <typename T>
struct ElementKernels {
    // out[i, j] = x[rows.index[i], columns.index[j]] * rows.factor[i] * columns.factor[j]. Tiles: `tile` rows of out.
    // workspace: tile * n elements.
    void (*reorder)(const T* x, ReorderingView<T> rows, ReorderingView<T> columns, T* out, T* workspace,
                    std::size_t begin, std::size_t end);
    // Every row of x (b, n) mixed; n = q.size. Tiles: `tile` rows. workspace: 2 * tile * n elements.
    void (*mix_columns)(const T* x, std::size_t b, MixingView<T> q, bool undo, T* out, T* workspace,
                        std::size_t begin, std::size_t end);
    // Rows mixed by p and columns by q, in two steps with all rows (p.size, n) between them. Tiles: 64 rows of p.
    // workspace: (2 * tile + 64) * n elements.
    void (*mix_first)(RowsOf<T> x, std::size_t n, MixingView<T> p, T* between, std::size_t begin, std::size_t end);
    void (*mix_second)(const T* between, MixingView<T> p, MixingView<T> q, T* out, T* workspace, std::size_t begin,
                       std::size_t end);
    // The inverse; of the result only the first `rows` rows are kept.
    void (*undo_first)(const T* y, MixingView<T> p, MixingView<T> q, T* between, T* workspace, std::size_t begin,
                       std::size_t end);
    void (*undo_second)(const T* between, std::size_t n, MixingView<T> p, std::size_t rows, T* out, std::size_t begin,
                        std::size_t end);
    // What `at` asks of rows of x (., at.n): those in index[first ...], or from `first` on when index is null.
    void (*look)(const T* x, const LookAt<T>& at, const std::int32_t* index, std::size_t first, std::size_t count);
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

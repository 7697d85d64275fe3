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
inline constexpr std::size_t kMostVectors = 32;  // probes, or weights and one, of a call

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

// The rows of data (rows, n), then those of more.
template <typename T>
struct RowsOf {
    const T* data;
    std::size_t rows;
    const T* more;
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
    // Per row i of x (., n): dots[i, q] = sum_j x_ij probes[q, j] for q < k; squares[i, v] = sum_j x_ij^2 weights[v, j]
    // for v < w, and squares[i, w] = sum_j x_ij^2. Tiles: rows.
    void (*row_sums)(const T* x, std::size_t n, const double* probes, std::size_t k, const double* weights,
                     std::size_t w, double* dots, double* squares, std::size_t begin, std::size_t end);
    // Adds to sums[q, j] the sum over i of factors[i, q] x_ij, q < k, and to squares[j] that of weights[i] x_ij^2.
    void (*column_sums)(const T* x, std::size_t n, const double* factors, std::size_t k, const double* weights,
                        double* sums, double* squares, std::size_t begin, std::size_t end);
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

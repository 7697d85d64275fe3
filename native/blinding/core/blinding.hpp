// Purpose: masks applied to whole matrices, on several threads where there is work for them.
#pragma once

#include "masks.hpp"

namespace kakuri::blinding {

// All matrices row-major; shapes are checked by the caller. `out` receives results only, nothing in between. `look`, where
// it is not null, sees plain columns in the worker's rows: x, or what is undone, with rows in their blinded order (reorder)
// or mixed with those added (mix). Both ways see the same rows, so that a product can be checked and sums over rows taken.
// out (b, n): rows and columns of x (b, n) permuted and scaled.
template <typename T>
void reorder(const T* x, const Reordering& rows, const Reordering& columns, bool undo, bool dual, T* out,
             Look<T>* look, int threads);

// out (b, n): each row of x mixed, n = q.size().
template <typename T>
void mix_columns(const T* x, std::size_t b, const Mixing& q, bool undo, T* out, int threads);

// out (p.size(), n): x (x.rows, n) and the rows behind it mixed in rows by p and in columns by q.
template <typename T>
void mix(RowsOf<T> x, const Mixing& p, const Mixing& q, T* out, Look<T>* look, int threads);

// out (rows, n): the first rows of what y (p.size(), n) was mixed from.
template <typename T>
void undo_mix(const T* y, const Mixing& p, const Mixing& q, std::size_t rows, T* out, Look<T>* look,
              int threads);

}  // namespace kakuri::blinding

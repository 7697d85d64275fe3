// Purpose: the loops of linear transforms for any 64-bit machine (kernels.hpp says what they compute).
#pragma once

#include "kernels.hpp"

namespace kakuri::ckks::scalar {

void rotate(const Modulus& m, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange range);
void add_rotation(const Modulus& m, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange range);
void pack_rotation(const Modulus& m, u64* packed, std::size_t stride, const RotationTerms& rotation, ChunkRange range);
void diagonal_sums(const Modulus& m, const DiagonalGroup* groups, std::size_t group_count, const u64* packed,
                   std::size_t stride, const u64* diagonals, std::size_t diagonal_stride, bool symmetric,
                   ChunkRange range);

}  // namespace kakuri::ckks::scalar

// Purpose: the transforms of ntt.hpp on four doubles at a time.
#pragma once

#include "ntt.hpp"

namespace kakuri::ckks::avx2 {

void forward(const NttTables& tables, u64* x);
void inverse(const NttTables& tables, u64* x, u64 factor);

}  // namespace kakuri::ckks::avx2

// Purpose: the kernel table for AVX2 with FMA.
#include <algorithm>
#include <bit>
#include <vector>

#include "simd256.hpp"

#include "double_kernels.hpp"

namespace kakuri::ckks {

const Kernels* avx2_kernels() {
    static constexpr Kernels kTable = lanes::KernelFunctions<Simd256>::table("avx2");
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kTable : nullptr;
}

}  // namespace kakuri::ckks

// Purpose: the kernel table for AVX-512 without integer FMA (Skylake-X, Cascade Lake): doubles, eight at a time.
#include <algorithm>
#include <bit>
#include <vector>

#include "simd512.hpp"

#include "double_kernels.hpp"

namespace kakuri::ckks {

const Kernels* avx512_kernels() {
    static constexpr Kernels kTable = lanes::KernelFunctions<Simd512>::table("avx512");
    const bool available = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
    return available ? &kTable : nullptr;
}

}  // namespace kakuri::ckks

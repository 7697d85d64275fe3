// Purpose: the kernel table for AVX-512 F, DQ and VL.
#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels.hpp"

#include "target_avx512.hpp"

#include "table.hpp"

namespace kakuri::blinding {

const Kernels* avx512_kernels() {
    static constexpr Kernels kTable = kernel_table<64>("avx512");
    const bool available = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
    return available ? &kTable : nullptr;
}

}  // namespace kakuri::blinding

// Purpose: the kernel table for AVX2 with FMA.
#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels.hpp"

#include "target_avx2.hpp"

#include "table.hpp"

namespace kakuri::blinding {

const Kernels* avx2_kernels() {
    static constexpr Kernels kTable = kernel_table<32>("avx2");
    const bool available = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return available ? &kTable : nullptr;
}

}  // namespace kakuri::blinding

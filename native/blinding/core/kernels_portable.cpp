// Purpose: the kernel table for any machine: vectors of 16 bytes, which every 64-bit processor has.
#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels.hpp"

#include "table.hpp"

namespace kakuri::blinding {

const Kernels* portable_kernels() {
    static constexpr Kernels kTable = kernel_table<16>("portable");
    return &kTable;
}

}  // namespace kakuri::blinding

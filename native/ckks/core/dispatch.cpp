// Purpose: choose the kernel table for the processor at run time.
#include "error.hpp"
#include "kernels.hpp"

namespace kakuri::ckks {

namespace {

std::vector<const Kernels*> fastest_first() {
    std::vector<const Kernels*> tables;
    for (const Kernels* table : {ifma_kernels(), avx512_kernels(), avx2_kernels(), scalar_kernels()})
        if (table != nullptr) tables.push_back(table);
    return tables;
}

}  // namespace

KernelSelection::KernelSelection() : active_(fastest_first().front()) {}

std::vector<std::string> KernelSelection::available() {
    std::vector<std::string> names;
    for (const Kernels* table : fastest_first()) names.emplace_back(table->name);
    return names;
}

void KernelSelection::select(const std::string& path) {
    std::string names;
    for (const Kernels* table : fastest_first()) {
        if (path == table->name) return active_.store(table, std::memory_order_relaxed);
        names += (names.empty() ? "" : ", ") + std::string(table->name);
    }
    if (path == emulated_ifma_kernels()->name) return active_.store(emulated_ifma_kernels(), std::memory_order_relaxed);
    throw Error({"KK-N13", "kernel path is not available on this processor", "path", path, names, ""});
}

}  // namespace kakuri::ckks

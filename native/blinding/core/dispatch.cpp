// Purpose: choose the kernel table for the processor at run time.
#include "dispatch.hpp"

#include <atomic>

namespace kakuri::blinding {

namespace {

std::vector<const Kernels*> fastest_first() {
    std::vector<const Kernels*> tables;
    for (const Kernels* table : {avx512_kernels(), avx2_kernels(), portable_kernels()})
        if (table != nullptr) tables.push_back(table);
    return tables;
}

std::atomic<const Kernels*>& selection() {
    static std::atomic<const Kernels*> active{fastest_first().front()};
    return active;
}

}  // namespace

std::vector<std::string> available_paths() {
    std::vector<std::string> names;
    for (const Kernels* table : fastest_first()) names.emplace_back(table->name);
    return names;
}

const Kernels& active_kernels() { return *selection().load(std::memory_order_relaxed); }

bool select_path(const std::string& path) {
    for (const Kernels* table : fastest_first())
        if (path == table->name) {
            selection().store(table, std::memory_order_relaxed);
            return true;
        }
    return false;
}

}  // namespace kakuri::blinding

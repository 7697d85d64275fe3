// Purpose: which kernel table is used.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace kakuri::blinding {

// Fastest first; the last is `portable`.
std::vector<std::string> available_paths();
const Kernels& active_kernels();
// False for a path that this processor does not have.
bool select_path(const std::string& path);

}  // namespace kakuri::blinding

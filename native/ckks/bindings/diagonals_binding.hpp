// Purpose: Diagonals and encode_diagonals in the module kakuri._ckks.
#pragma once

#include "shared.hpp"

namespace kakuri::ckks::python {

void bind_diagonals(nb::module_& m);

}  // namespace kakuri::ckks::python

// Purpose: the kernel table for vectors of B bytes. Include after the target pragma.
#pragma once

#include "look_kernels.hpp"
#include "mixing_kernels.hpp"
#include "reorder_kernels.hpp"

namespace kakuri::blinding {

template <typename T, int B>
constexpr ElementKernels<T> element_kernels() {
    using Mixing = MixingKernels<T, B>;
    using Reorder = ReorderKernels<T, B>;
    using Looks = LookKernels<T, B>;
    return {&Reorder::reorder_in,  &Reorder::reorder_out, &Mixing::mix_columns, &Mixing::mix_first,
            &Mixing::mix_second,   &Mixing::mix_out,      &Mixing::undo_in,     &Mixing::undo_first,
            &Mixing::undo_second,  &Looks::look,         &Looks::sum_rows,
            &Looks::worst,         Mixing::W};
}

template <int B>
constexpr Kernels kernel_table(const char* name) {
    return {name, element_kernels<float, B>(), element_kernels<double, B>()};
}

}  // namespace kakuri::blinding

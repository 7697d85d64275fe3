#include "kernels.hpp"
namespace kakuri::ckks { const Kernels* ifma_kernels() { return nullptr; } const Kernels* emulated_ifma_kernels() { return scalar_kernels(); } }

// Include last, before the code that needs AVX-512 F and DQ, as target_avx2.hpp.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC bug 105593: false reports inside its own intrinsics
#pragma GCC target("avx512f,avx512dq,avx512vl,fma")
#endif

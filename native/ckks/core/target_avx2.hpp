// Include last, before the code that needs AVX2 and FMA: functions defined after it are compiled for them, while inline
// functions of other headers keep the baseline, so that the linker may merge those safely.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx2,fma")
#endif

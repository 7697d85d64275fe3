// Purpose: vectors of B bytes in the compiler's own vector types. Include after the target pragma: what is defined here
//   is compiled for it, and B in every name keeps the targets apart.
#pragma once

namespace kakuri::blinding {

template <typename T, int B>
struct Lanes {
    static constexpr int W = B / static_cast<int>(sizeof(T));
    typedef T Vec __attribute__((vector_size(B)));

    static Vec load(const T* from) {
        Vec v;
        __builtin_memcpy(&v, from, B);
        return v;
    }
    // The first `count` lanes; a copy of unknown size is a call, so that the usual size is told apart.
    static Vec load(const T* from, std::size_t count) {
        if (count == static_cast<std::size_t>(W)) return load(from);
        Vec v{};
        __builtin_memcpy(&v, from, count * sizeof(T));
        return v;
    }
    static void store(T* to, Vec v) { __builtin_memcpy(to, &v, B); }
    static void store(T* to, Vec v, std::size_t count) {
        if (count == static_cast<std::size_t>(W))
            store(to, v);
        else
            __builtin_memcpy(to, &v, count * sizeof(T));
    }

    // W vectors, row by row, become W vectors, column by column.
    static void transpose(Vec* v) { stages<1>(v); }

private:
    template <int S>
    static void stages(Vec* v) {
        if constexpr (S < W) {
            for (int i = 0; i < W; ++i)
                if ((i & S) == 0) exchange<S>(v[i], v[i + S], std::make_integer_sequence<int, W>{});
            stages<2 * S>(v);
        }
    }
    // Swaps the blocks of S lanes that lie off the diagonal of the pair.
    template <int S, int... I>
    static void exchange(Vec& a, Vec& b, std::integer_sequence<int, I...>) {
        const Vec low = __builtin_shufflevector(a, b, ((I & S) == 0 ? I : I - S + W)...);
        b = __builtin_shufflevector(a, b, ((I & S) == 0 ? I + S : I + W)...);
        a = low;
    }
};

}  // namespace kakuri::blinding

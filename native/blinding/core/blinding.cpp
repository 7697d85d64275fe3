#include "blinding.hpp"

#include <memory>
#include <new>

#include "dispatch.hpp"
#include "sharing.hpp"

namespace kakuri::blinding {

namespace {

// Uninitialised memory on a cache line's boundary.
template <typename T>
class Workspace {
public:
    explicit Workspace(std::size_t elements)
        : data_(static_cast<T*>(::operator new(elements * sizeof(T), kAlignment))) {}
    ~Workspace() { ::operator delete(data_, kAlignment); }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;
    T* data() { return data_; }

private:
    static constexpr std::align_val_t kAlignment{64};
    T* data_;
};

// Memory that the calling thread keeps for its next call: fresh pages cost as much as the work.
template <typename T>
T* kept_workspace(std::size_t elements) {
    static thread_local std::unique_ptr<Workspace<T>> kept;
    static thread_local std::size_t size = 0;
    if (kept == nullptr || size < elements) {
        kept.reset();
        kept = std::make_unique<Workspace<T>>(elements);
        size = elements;
    }
    return kept->data();
}

std::size_t tiles_of(std::size_t rows, std::size_t tile) { return (rows + tile - 1) / tile; }

}  // namespace

template <typename T>
void reorder(const T* x, const Reordering& rows, const Reordering& columns, bool undo, bool dual, T* out,
             int threads) {
    const auto& kernels = active_kernels().of<T>();
    const auto row_view = rows.view<T>(undo, dual);
    const auto column_view = columns.view<T>(undo, false);
    share(useful_threads(threads, rows.size() * columns.size()), tiles_of(rows.size(), kernels.tile),
          [&](std::size_t, std::size_t begin, std::size_t end) {
              Workspace<T> workspace(kernels.tile * columns.size());
              kernels.reorder(x, row_view, column_view, out, workspace.data(), begin, end);
          });
}

template <typename T>
void mix_columns(const T* x, std::size_t b, const Mixing& q, bool undo, T* out, int threads) {
    const auto& kernels = active_kernels().of<T>();
    share(useful_threads(threads, b * q.size()), tiles_of(b, kernels.tile),
          [&](std::size_t, std::size_t begin, std::size_t end) {
              Workspace<T> workspace(2 * kernels.tile * q.size());
              kernels.mix_columns(x, b, q.view<T>(), undo, out, workspace.data(), begin, end);
          });
}

template <typename T>
void mix(RowsOf<T> x, const Mixing& p, const Mixing& q, T* out, int threads) {
    const auto& kernels = active_kernels().of<T>();
    const std::size_t parts = useful_threads(threads, p.size() * q.size()), tiles = tiles_of(p.size(), kBlock);
    T* const between = kept_workspace<T>(p.size() * q.size());
    share(parts, tiles, [&](std::size_t, std::size_t begin, std::size_t end) {
        kernels.mix_first(x, q.size(), p.view<T>(), between, begin, end);
    });
    share(parts, tiles, [&](std::size_t, std::size_t begin, std::size_t end) {
        Workspace<T> workspace((2 * kernels.tile + kBlock) * q.size());
        kernels.mix_second(between, p.view<T>(), q.view<T>(), out, workspace.data(), begin, end);
    });
}

template <typename T>
void undo_mix(const T* y, const Mixing& p, const Mixing& q, std::size_t rows, T* out, int threads) {
    const auto& kernels = active_kernels().of<T>();
    const std::size_t parts = useful_threads(threads, p.size() * q.size()), tiles = tiles_of(p.size(), kBlock);
    T* const between = kept_workspace<T>(p.size() * q.size());
    share(parts, tiles, [&](std::size_t, std::size_t begin, std::size_t end) {
        Workspace<T> workspace((2 * kernels.tile + kBlock) * q.size());
        kernels.undo_first(y, p.view<T>(), q.view<T>(), between, workspace.data(), begin, end);
    });
    share(parts, tiles, [&](std::size_t, std::size_t begin, std::size_t end) {
        kernels.undo_second(between, q.size(), p.view<T>(), rows, out, begin, end);
    });
}

template void reorder(const float*, const Reordering&, const Reordering&, bool, bool, float*, int);
template void reorder(const double*, const Reordering&, const Reordering&, bool, bool, double*, int);
template void mix_columns(const float*, std::size_t, const Mixing&, bool, float*, int);
template void mix_columns(const double*, std::size_t, const Mixing&, bool, double*, int);
template void mix(RowsOf<float>, const Mixing&, const Mixing&, float*, int);
template void mix(RowsOf<double>, const Mixing&, const Mixing&, double*, int);
template void undo_mix(const float*, const Mixing&, const Mixing&, std::size_t, float*, int);
template void undo_mix(const double*, const Mixing&, const Mixing&, std::size_t, double*, int);

}  // namespace kakuri::blinding

#include "blinding.hpp"

#include <memory>
#include <new>

#include "dispatch.hpp"
#include "look.hpp"
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

// Which of the rows that the tiles [begin, end) are mixed from lie below `limit`.
std::vector<std::int32_t> rows_below(const Mixing& p, std::size_t begin, std::size_t end, std::size_t limit) {
    const std::int32_t* index = p.view<float>().index[0];
    std::vector<std::int32_t> found;
    for (std::size_t at = begin * kBlock; at < std::min(end * kBlock, p.size()); ++at)
        if (static_cast<std::size_t>(index[at]) < limit) found.push_back(index[at]);
    return found;
}

std::size_t tiles_of(std::size_t rows, std::size_t tile) { return (rows + tile - 1) / tile; }

}  // namespace

template <typename T>
void reorder(const T* x, const Reordering& rows, const Reordering& columns, bool undo, bool dual, T* out,
             Look<T>* look, int threads) {
    const auto& kernels = active_kernels().of<T>();
    const auto row_view = rows.view<T>(undo, dual);
    const auto column_view = columns.view<T>(undo, false);
    const std::size_t b = rows.size(), n = columns.size(), tile = kernels.tile, parts = useful_threads(threads, b * n);
    Looker<T> looker(look, undo ? out : x, parts);
    share(parts, tiles_of(b, tile), [&](std::size_t part, std::size_t begin, std::size_t end) {
        Workspace<T> workspace(tile * n);
        const std::size_t step = looker.group(tile, n, end - begin);
        for (std::size_t at = begin; at < end; at += step) {
            const std::size_t stop = std::min(at + step, end);
            kernels.reorder(x, row_view, column_view, out, workspace.data(), at, stop);
            looker.rows(part, undo ? nullptr : row_view.index, at * tile, std::min(stop * tile, b) - at * tile);
        }
    });
    looker.finish();
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
void mix(RowsOf<T> x, const Mixing& p, const Mixing& q, T* out, Look<T>* look, int threads) {
    const auto& kernels = active_kernels().of<T>();
    const std::size_t n = q.size(), parts = useful_threads(threads, p.size() * n), tiles = tiles_of(p.size(), kBlock);
    T* const between = kept_workspace<T>(p.size() * n);
    Looker<T> looker(look, x.data, parts);
    share(parts, tiles, [&](std::size_t part, std::size_t begin, std::size_t end) {
        const std::size_t step = looker.group(kBlock, n, end - begin);
        for (std::size_t at = begin; at < end; at += step) {
            const std::size_t stop = std::min(at + step, end);
            kernels.mix_first(x, n, p.view<T>(), between, at, stop);
            const auto seen = rows_below(p, at, stop, x.rows);
            looker.rows(part, seen.data(), 0, seen.size());
        }
    });
    looker.finish();
    share(parts, tiles, [&](std::size_t, std::size_t begin, std::size_t end) {
        Workspace<T> workspace((2 * kernels.tile + kBlock) * n);
        kernels.mix_second(between, p.view<T>(), q.view<T>(), out, workspace.data(), begin, end);
    });
}

template <typename T>
void undo_mix(const T* y, const Mixing& p, const Mixing& q, std::size_t rows, T* out, Look<T>* look, int threads) {
    const auto& kernels = active_kernels().of<T>();
    const std::size_t n = q.size(), parts = useful_threads(threads, p.size() * n), tiles = tiles_of(p.size(), kBlock);
    T* const between = kept_workspace<T>(p.size() * n);
    share(parts, tiles, [&](std::size_t, std::size_t begin, std::size_t end) {
        Workspace<T> workspace((2 * kernels.tile + kBlock) * n);
        kernels.undo_first(y, p.view<T>(), q.view<T>(), between, workspace.data(), begin, end);
    });
    Looker<T> looker(look, out, parts);
    share(parts, tiles, [&](std::size_t part, std::size_t begin, std::size_t end) {
        const std::size_t step = looker.group(kBlock, n, end - begin);
        for (std::size_t at = begin; at < end; at += step) {
            const std::size_t stop = std::min(at + step, end);
            kernels.undo_second(between, n, p.view<T>(), rows, out, at, stop);
            const auto seen = rows_below(p, at, stop, rows);
            looker.rows(part, seen.data(), 0, seen.size());
        }
    });
    looker.finish();
}

template void reorder(const float*, const Reordering&, const Reordering&, bool, bool, float*,
                      Look<float>*, int);
template void reorder(const double*, const Reordering&, const Reordering&, bool, bool, double*,
                      Look<double>*, int);
template void mix_columns(const float*, std::size_t, const Mixing&, bool, float*, int);
template void mix_columns(const double*, std::size_t, const Mixing&, bool, double*, int);
template void mix(RowsOf<float>, const Mixing&, const Mixing&, float*, Look<float>*, int);
template void mix(RowsOf<double>, const Mixing&, const Mixing&, double*, Look<double>*, int);
template void undo_mix(const float*, const Mixing&, const Mixing&, std::size_t, float*, Look<float>*, int);
template void undo_mix(const double*, const Mixing&, const Mixing&, std::size_t, double*, Look<double>*, int);

}  // namespace kakuri::blinding

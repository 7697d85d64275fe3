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

// Between two rounds rows lie an odd number of cache lines apart: at the usual powers of two they would share a few sets.
template <typename T>
std::size_t stride_of(std::size_t n) {
    constexpr std::size_t kLine = 64 / sizeof(T);
    return ((n + kLine - 1) / kLine | 1) * kLine;
}

std::size_t tiles_of(std::size_t rows, std::size_t tile) { return (rows + tile - 1) / tile; }

// The look's probes in the order and with the signs of blinded columns, and behind them its weights in their order.
template <typename T>
std::vector<T> blinded_vectors(const Look<T>* look, const ReorderingView<T>& columns) {
    if (look == nullptr) return {};
    const std::size_t n = columns.size, of_probes = look->at.k * n;
    std::vector<T> found(of_probes + look->at.w * n);
    for (std::size_t at = 0; at < found.size(); at += n)
        for (std::size_t j = 0; j < n; ++j)
            found[at + static_cast<std::size_t>(columns.index[j])] =
                at < of_probes ? look->at.probes[at + j] * columns.factor[j] : look->at.weights[at - of_probes + j];
    return found;
}

// Blocks of rows of a mixing as tiles: made by `make`, looked at, passed on by `use`. Both get the tiles, a workspace of the
// kernels, the number of the block, its first row and how many rows it has.
template <typename T, typename Make, typename Use>
void look_between(const Mixing& p, std::size_t n, Look<T>* look, int threads, Make make, Use use) {
    const std::size_t parts = useful_threads(threads, p.size() * n);
    Looker<T> looker(look, parts);
    share(parts, tiles_of(p.size(), kBlock), [&](std::size_t part, std::size_t begin, std::size_t end) {
        Workspace<T> tiles(kBlock * n), workspace(active_kernels().of<T>().tile * n);
        looker.begin(part);
        for (std::size_t block = begin; block < end; ++block) {
            const std::size_t first = block * kBlock, count = std::min(kBlock, p.size() - first);
            make(tiles.data(), workspace.data(), block, first, count);
            looker.tiles(part, tiles.data(), nullptr, nullptr, first, count);
            use(tiles.data(), workspace.data(), block, first, count);
        }
        looker.end(part);
    });
    looker.finish();
}

}  // namespace

template <typename T>
void reorder(const T* x, const Reordering& rows, const Reordering& columns, bool undo, bool dual, T* out,
             Look<T>* look, int threads) {
    const auto& kernels = active_kernels().of<T>();
    const auto row_view = rows.view<T>(undo, dual);
    const auto column_view = columns.view<T>(undo, false);
    const std::size_t b = rows.size(), n = columns.size(), tile = kernels.tile, parts = useful_threads(threads, b * n);
    const std::vector<T> vectors = undo ? blinded_vectors(look, column_view) : std::vector<T>{};
    Looker<T> looker(look, parts);
    share(parts, tiles_of(b, tile), [&](std::size_t part, std::size_t begin, std::size_t end) {
        const std::size_t step = look == nullptr ? 1 : looker.group(tile, n);
        Workspace<T> tiles(step * tile * n);
        looker.begin(part);
        for (std::size_t at = begin; at < end; at += step) {
            const std::size_t stop = std::min(at + step, end);
            kernels.reorder_in(x, row_view, n, undo, tiles.data(), at, stop);
            looker.tiles(part, tiles.data(), undo ? vectors.data() : nullptr, undo ? row_view.index : nullptr, at * tile,
                         std::min(stop * tile, b) - at * tile);
            kernels.reorder_out(tiles.data(), row_view, column_view, undo, out, at, stop);
        }
        looker.end(part);
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
    const std::size_t n = q.size(), parts = useful_threads(threads, p.size() * n), blocks = tiles_of(p.size(), kBlock);
    const std::size_t stride = stride_of<T>(n);
    T* const between = kept_workspace<T>(p.size() * stride);
    share(parts, blocks, [&](std::size_t, std::size_t begin, std::size_t end) {
        kernels.mix_first(x, n, p.view<T>(), between, stride, begin, end);
    });
    look_between<T>(
        p, n, look, threads,
        [&](T* tiles, T*, std::size_t block, std::size_t, std::size_t) {
            kernels.mix_second(between, stride, n, p.view<T>(), tiles, block);
        },
        [&](T* tiles, T* workspace, std::size_t, std::size_t first, std::size_t count) {
            kernels.mix_out(tiles, q.view<T>(), out, workspace, first, count);
        });
}

template <typename T>
void undo_mix(const T* y, const Mixing& p, const Mixing& q, std::size_t rows, T* out, Look<T>* look, int threads) {
    const auto& kernels = active_kernels().of<T>();
    const std::size_t n = q.size(), parts = useful_threads(threads, p.size() * n), blocks = tiles_of(p.size(), kBlock);
    const std::size_t stride = stride_of<T>(n);
    T* const between = kept_workspace<T>(p.size() * stride);
    look_between<T>(
        p, n, look, threads,
        [&](T* tiles, T* workspace, std::size_t, std::size_t first, std::size_t count) {
            kernels.undo_in(y, q.view<T>(), tiles, workspace, first, count);
        },
        [&](T* tiles, T*, std::size_t block, std::size_t, std::size_t) {
            kernels.undo_first(tiles, n, p.view<T>(), between, stride, block);
        });
    share(parts, blocks, [&](std::size_t, std::size_t begin, std::size_t end) {
        kernels.undo_second(between, stride, n, p.view<T>(), rows, out, begin, end);
    });
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

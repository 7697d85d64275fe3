// Purpose: the module kakuri._blinding; src/kakuri/_blinding.pyi is its documentation.
// Guarantees: shapes are checked before anything is touched (ValueError); the GIL is free while matrices are worked on.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <utility>

#include "blinding.hpp"
#include "dispatch.hpp"
#include "verification.hpp"

namespace kakuri::blinding::python {

namespace {

namespace nb = nanobind;

template <typename T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Output = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Made = nb::ndarray<nb::numpy, double, nb::c_contig>;

void require(bool holds, const char* what) {
    if (!holds) throw nb::value_error(what);
}

std::span<const std::uint64_t> words_of(const Vector<std::uint64_t>& words) {
    require(words.size() <= kRounds * kMostCoordinates, "too many coordinates");
    return {words.data(), words.size()};
}

// A new array that Python owns.
std::pair<Made, double*> made(std::initializer_list<std::size_t> shape) {
    std::size_t count = 1;
    for (const std::size_t size : shape) count *= size;
    auto* data = new double[std::max<std::size_t>(count, 1)];
    const nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<double*>(p); });
    return {Made(data, shape, owner), data};
}

template <typename T>
void apply_reordering(const Matrix<T>& x, const Reordering& rows, const Reordering& columns, Output<T> out, bool undo,
                      bool dual, int threads) {
    require(x.shape(0) == rows.size() && x.shape(1) == columns.size(), "x does not have the masks' shape");
    require(out.shape(0) == x.shape(0) && out.shape(1) == x.shape(1), "out does not have the shape of x");
    const nb::gil_scoped_release unlocked;
    reorder(x.data(), rows, columns, undo, dual, out.data(), threads);
}

template <typename T>
void apply_to_columns(const Mixing& mixing, const Matrix<T>& x, Output<T> out, bool undo, int threads) {
    require(x.shape(1) == mixing.size(), "x does not have the mask's columns");
    require(out.shape(0) == x.shape(0) && out.shape(1) == x.shape(1), "out does not have the shape of x");
    const nb::gil_scoped_release unlocked;
    mix_columns(x.data(), x.shape(0), mixing, undo, out.data(), threads);
}

template <typename T>
void apply_mix(const Matrix<T>& x, const Mixing& rows, const Mixing& columns, Output<T> out,
               const std::optional<Matrix<T>>& more, int threads) {
    const std::size_t added = more ? more->shape(0) : 0;
    require(x.shape(0) + added == rows.size() && x.shape(1) == columns.size(), "x does not have the masks' shape");
    require(!more || more->shape(1) == x.shape(1), "x and more differ in columns");
    require(out.shape(0) == rows.size() && out.shape(1) == x.shape(1), "out does not have the masks' shape");
    const nb::gil_scoped_release unlocked;
    mix<T>({x.data(), x.shape(0), more ? more->data() : nullptr}, rows, columns, out.data(), threads);
}

template <typename T>
void apply_undo_mix(const Matrix<T>& y, const Mixing& rows, const Mixing& columns, Output<T> out, int threads) {
    require(y.shape(0) == rows.size() && y.shape(1) == columns.size(), "y does not have the masks' shape");
    require(out.shape(0) <= rows.size() && out.shape(1) == y.shape(1), "out has too many rows or other columns");
    const nb::gil_scoped_release unlocked;
    undo_mix(y.data(), rows, columns, out.shape(0), out.data(), threads);
}

template <typename T>
std::pair<Made, Made> python_row_sums(const Matrix<T>& x, const Matrix<double>& probes, const Matrix<double>& weights,
                                      int threads) {
    require(probes.shape(1) == x.shape(1) && weights.shape(1) == x.shape(1), "columns differ");
    const std::size_t k = probes.shape(0), w = weights.shape(0);
    require(k <= kMostVectors && w < kMostVectors, "too many probes or weights");
    auto [dots, to_dots] = made({x.shape(0), k});
    auto [squares, to_squares] = made({x.shape(0), w + 1});
    {
        const nb::gil_scoped_release unlocked;
        row_sums(x.data(), x.shape(0), x.shape(1), probes.data(), k, weights.data(), w, to_dots, to_squares, threads);
    }
    return {std::move(dots), std::move(squares)};
}

template <typename T>
std::pair<Made, Made> python_column_sums(const Matrix<T>& x, const Matrix<double>& factors,
                                         const Vector<double>& weights, int threads) {
    require(factors.shape(0) == x.shape(0) && weights.size() == x.shape(0), "rows differ");
    const std::size_t k = factors.shape(1);
    auto [sums, to_sums] = made({k, x.shape(1)});
    auto [squares, to_squares] = made({x.shape(1)});
    {
        const nb::gil_scoped_release unlocked;
        column_sums(x.data(), x.shape(0), x.shape(1), factors.data(), k, weights.data(), to_sums, to_squares, threads);
    }
    return {std::move(sums), std::move(squares)};
}

template <typename T>
double python_worst_residual(const Matrix<T>& y, const Matrix<double>& probes, const Matrix<double>& expected,
                             const Vector<double>& base, double scale, double share, int threads) {
    require(probes.shape(1) == y.shape(1), "columns differ");
    require(expected.shape(0) == y.shape(0) && base.size() == y.shape(0), "rows differ");
    require(expected.shape(1) == probes.shape(0) && probes.shape(0) <= kMostVectors, "probes differ, or too many");
    const nb::gil_scoped_release unlocked;
    return worst_residual(y.data(), y.shape(0), y.shape(1), probes.data(), probes.shape(0), expected.data(),
                          base.data(), scale, share, threads);
}

template <typename T>
void bind_for(nb::module_& m, nb::class_<Mixing>& mixing) {
    m.def("reorder", &apply_reordering<T>, nb::arg("x").noconvert(), nb::arg("rows"), nb::arg("columns"),
          nb::arg("out").noconvert(), nb::kw_only(), nb::arg("undo") = false, nb::arg("dual") = false,
          nb::arg("threads") = 1);
    mixing.def("columns", &apply_to_columns<T>, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::kw_only(),
               nb::arg("undo") = false, nb::arg("threads") = 1);
    m.def("mix", &apply_mix<T>, nb::arg("x").noconvert(), nb::arg("rows"), nb::arg("columns"),
          nb::arg("out").noconvert(), nb::arg("more").noconvert() = nb::none(), nb::kw_only(), nb::arg("threads") = 1);
    m.def("undo_mix", &apply_undo_mix<T>, nb::arg("y").noconvert(), nb::arg("rows"), nb::arg("columns"),
          nb::arg("out").noconvert(), nb::kw_only(), nb::arg("threads") = 1);
    m.def("row_sums", &python_row_sums<T>, nb::arg("x").noconvert(), nb::arg("probes"), nb::arg("weights"),
          nb::kw_only(), nb::arg("threads") = 1);
    m.def("column_sums", &python_column_sums<T>, nb::arg("x").noconvert(), nb::arg("factors"), nb::arg("weights"),
          nb::kw_only(), nb::arg("threads") = 1);
    m.def("worst_residual", &python_worst_residual<T>, nb::arg("y").noconvert(), nb::arg("probes"),
          nb::arg("expected"), nb::arg("base"), nb::kw_only(), nb::arg("scale"), nb::arg("share"),
          nb::arg("threads") = 1);
}

}  // namespace

NB_MODULE(_blinding, m) {
    nb::class_<Reordering>(m, "Reordering")
        .def(
            "__init__",
            [](Reordering* self, const Vector<std::uint64_t>& words, const std::optional<Vector<double>>& factors) {
                require(!factors || factors->size() == words.size(), "words and factors differ in length");
                new (self) Reordering(words_of(words), factors ? std::span<const double>{factors->data(), factors->size()}
                                                               : std::span<const double>{});
            },
            nb::arg("words"), nb::arg("factors") = nb::none())
        .def("__len__", &Reordering::size);
    nb::class_<Mixing> mixing(m, "Mixing");
    mixing
        .def(
            "__init__",
            [](Mixing* self, const Vector<std::uint64_t>& words) {
                require(words.size() % kRounds == 0, "an odd number of words");
                new (self) Mixing(words_of(words));
            },
            nb::arg("words"))
        .def("__len__", &Mixing::size);
    bind_for<float>(m, mixing);
    bind_for<double>(m, mixing);
    m.def("kernel_path", [] { return std::string(active_kernels().name); });
    m.def("available_kernel_paths", &available_paths);
    m.def("set_kernel_path", [](const std::string& path) {
        require(select_path(path), "kernel path is not available on this processor");
    }, nb::arg("path"));
}

}  // namespace kakuri::blinding::python

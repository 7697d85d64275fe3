// Purpose: the module kakuri._blinding; src/kakuri/_blinding.pyi is its documentation.
// Guarantees: shapes are checked before anything is touched (ValueError); the GIL is free while matrices are worked on.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "blinding.hpp"
#include "dispatch.hpp"
#include "meeting.hpp"
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

void require(bool holds, const char* what) {
    if (!holds) throw nb::value_error(what);
}

std::span<const std::uint64_t> words_of(const Vector<std::uint64_t>& words) {
    require(words.size() <= kRounds * kMostCoordinates, "too many coordinates");
    return {words.data(), words.size()};
}

template <typename T>
using Made = nb::ndarray<nb::numpy, T, nb::c_contig>;

// A new array that Python owns.
template <typename T>
Made<T> made(std::initializer_list<std::size_t> shape) {
    std::size_t count = 1;
    for (const std::size_t size : shape) count *= size;
    auto* data = new T[std::max<std::size_t>(count, 1)];
    const nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Made<T>(data, shape, owner);
}

using Numbers = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Tracked tracked(const Matrix<double>& w, const Vector<double>& norms, const Numbers& noise) {
    require(norms.size() == w.shape(1) && noise.size() == w.shape(1), "columns differ");
    require(w.shape(0) > 0 && w.shape(0) <= kMostVectors / 2, "no probes, or too many");
    return {w.data(), w.shape(0), w.shape(1), norms.data(), noise.data()};
}

// A look with what it reads and fills. For sums over rows alone there is no meeting.
template <typename T>
struct OwnedLook {
    OwnedLook(std::size_t rows, std::size_t columns, std::shared_ptr<const Meeting<T>> meeting_)
        : meeting(std::move(meeting_)) {
        require(!meeting || meeting->n == columns, "the meeting does not have these columns");
        look.at.rows = rows;
        look.at.n = columns;
        if (!meeting) return;
        look.at.probes = meeting->probes.data();
        look.at.k = meeting->k;
        look.at.weights = meeting->weights.data();
        look.at.w = meeting->w;
        dots.reset(new T[rows * meeting->k]);
        squares.reset(new T[rows * (meeting->w + 1)]);
        look.at.dots = dots.get();
        look.at.squares = squares.get();
    }

    // With the second half of the dots of a look at the other operand, which is kept, and its rows' squares.
    void add_columns(const OwnedLook& other) {
        require(other.look.at.rows == look.at.rows, "rows differ");
        const std::size_t count = other.look.at.k / 2;
        require(count > 0, "the other look has no probes");
        factors = other.dots;
        ask_columns(factors.get() + count * look.at.rows, count, other.plain(), other.total());
    }

    // With factors (count, rows), which are copied, and squares (rows,).
    void add_factors(const Matrix<T>& given, const Vector<T>& squares_of_rows) {
        require(given.shape(1) == look.at.rows && squares_of_rows.size() == look.at.rows, "rows differ");
        require(given.shape(0) > 0, "no factors");
        factors.reset(new T[given.size()]);
        std::copy_n(given.data(), given.size(), factors.get());
        ask_columns(factors.get(), given.shape(0), squares_of_rows.data(), sum_of(squares_of_rows.data(), look.at.rows));
    }

    // (count, n): sums, and (n,): the columns' weighted squares; none when they were not asked for.
    std::optional<std::pair<Made<double>, Made<double>>> crossed() const {
        if (sums.empty()) return std::nullopt;
        const std::size_t count = look.at.factors, n = look.at.n;
        auto found = made<double>({count, n}), spread = made<double>({n});
        std::copy_n(sums.data(), count * n, found.data());
        for (std::size_t j = 0; j < n; ++j) spread.data()[j] = sums[count * n + j] * unit;
        return std::pair(std::move(found), std::move(spread));
    }

    // The sums and their variances: of_spread times the columns' weighted squares, and of_square times the sums' own. Of
    // those each probe has seen some; where they saw little by chance the mean over columns helps.
    std::optional<std::pair<Made<double>, Made<double>>> gradient(double of_spread, double of_square) const {
        auto found = crossed();
        if (!found) return found;
        const std::size_t count = look.at.factors, n = look.at.n;
        double total = 0.0;
        for (std::size_t j = 0; j < n; ++j) {
            double most = 0.0;
            for (std::size_t at = j; at < count * n; at += n) {
                most = std::max(most, sums[at] * sums[at]);
                total += sums[at] * sums[at];
            }
            double& variance = found->second.data()[j];
            variance = of_spread * variance + of_square * most;
        }
        const double mean = total / static_cast<double>(std::max<std::size_t>(count * n, 1));
        for (std::size_t j = 0; j < n; ++j) found->second.data()[j] += of_square * mean;
        return found;
    }

    // The rows' squares without weights.
    const T* plain() const { return squares.get() + look.at.w * look.at.rows; }
    double total() const { return look.total; }
    bool finite() const {
        return std::all_of(dots.get(), dots.get() + (dots ? look.at.rows * look.at.k : 0), [](T dot) { return std::isfinite(dot); });
    }
    Made<T> shown(const std::shared_ptr<T[]>& values, std::size_t count) const {
        auto found = made<T>({count, look.at.rows});
        std::copy_n(values.get(), values ? count * look.at.rows : 0, found.data());
        return found;
    }

    std::shared_ptr<const Meeting<T>> meeting;
    std::shared_ptr<T[]> dots, squares, factors;
    std::vector<T> row_weights;
    std::vector<double> sums;
    double unit = 0.0;  // of row_weights
    Look<T> look{};

private:
    // Weights are over their mean, so that they and what they weigh are in the range of T.
    void ask_columns(const T* factor, std::size_t count, const T* squares_of_rows, double total) {
        const std::size_t rows = look.at.rows;
        unit = total / static_cast<double>(std::max<std::size_t>(rows, 1));
        const double inverse = std::isnormal(unit) ? 1.0 / unit : 0.0;
        row_weights.resize(rows);
        for (std::size_t i = 0; i < rows; ++i)
            row_weights[i] = static_cast<T>(static_cast<double>(squares_of_rows[i]) * inverse);
        sums.assign((count + 1) * look.at.n, 0.0);
        look.at.factor = factor;
        look.at.factors = count;
        look.at.row_weights = row_weights.data();
        look.sums = sums.data();
    }
};

constexpr const char* kNoSums = "sums over rows are taken of what is blinded, not of what is undone";

template <typename T>
Look<T>* looking(OwnedLook<T>* look, std::size_t rows, std::size_t columns) {
    require(look == nullptr || (look->look.at.rows == rows && look->look.at.n == columns), "look has another shape");
    return look == nullptr ? nullptr : &look->look;
}

template <typename T>
void apply_reordering(const Matrix<T>& x, const Reordering& rows, const Reordering& columns, Output<T> out, bool undo,
                      bool dual, OwnedLook<T>* look, int threads) {
    require(x.shape(0) == rows.size() && x.shape(1) == columns.size(), "x does not have the masks' shape");
    require(out.shape(0) == x.shape(0) && out.shape(1) == x.shape(1), "out does not have the shape of x");
    Look<T>* const looks = looking(look, x.shape(0), x.shape(1));
    require(!undo || looks == nullptr || looks->sums == nullptr, kNoSums);
    const nb::gil_scoped_release unlocked;
    reorder(x.data(), rows, columns, undo, dual, out.data(), looks, threads);
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
               const std::optional<Matrix<std::int32_t>>& shields, double scale, double sign, OwnedLook<T>* look,
               int threads) {
    const std::size_t count = shields ? shields->shape(0) : 0, n = x.shape(1);
    require(x.shape(0) + 2 * count == rows.size() && n == columns.size(), "x does not have the masks' shape");
    require(!shields || shields->shape(1) == n, "x and shields differ in columns");
    require(out.shape(0) == rows.size() && out.shape(1) == n, "out does not have the masks' shape");
    Look<T>* const looks = looking(look, rows.size(), n);
    const nb::gil_scoped_release unlocked;
    std::vector<T> noise(count * n);
    for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<T>(shields->data()[i]) * static_cast<T>(scale);
    mix<T>({x.data(), x.shape(0), noise.data(), count, static_cast<T>(sign)}, rows, columns, out.data(), looks, threads);
}

template <typename T>
void apply_undo_mix(const Matrix<T>& y, const Mixing& rows, const Mixing& columns, Output<T> out, OwnedLook<T>* look,
                    int threads) {
    require(y.shape(0) == rows.size() && y.shape(1) == columns.size(), "y does not have the masks' shape");
    require(out.shape(0) <= rows.size() && out.shape(1) == y.shape(1), "out has too many rows or other columns");
    Look<T>* const looks = looking(look, rows.size(), out.shape(1));
    require(looks == nullptr || looks->sums == nullptr, kNoSums);
    const nb::gil_scoped_release unlocked;
    undo_mix(y.data(), rows, columns, out.shape(0), out.data(), looks, threads);
}

template <typename T>
void python_look_at(const Matrix<T>& x, OwnedLook<T>& look, int threads) {
    Look<T>* const looks = looking(&look, x.shape(0), x.shape(1));
    const nb::gil_scoped_release unlocked;
    look_at(x.data(), *looks, threads);
}

template <typename S, typename A>
double python_worst_residual(const OwnedLook<S>& seen, const OwnedLook<A>& answer, double of_answer, double share) {
    require(seen.look.at.rows == answer.look.at.rows, "rows differ");
    require(seen.meeting && answer.meeting && answer.meeting->k * 2 == seen.meeting->k, "probes differ");
    const auto& meeting = *seen.meeting;
    return worst_residual(seen.look.at, answer.look.at, answer.meeting->k,
                          {meeting.of_rounding, meeting.of_drift, of_answer, share});
}

using Table = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void python_step(Table w, const std::optional<Table>& velocity, const Matrix<double>& gradient,
                 const Vector<double>& norms, Numbers w_noise, Numbers v_noise, const Vector<double>& g_noise, bool first,
                 const Step& step) {
    const std::size_t k = w.shape(0), n = w.shape(1);
    require(k > 0 && k <= kMostVectors / 2, "no probes, or too many");
    require(gradient.shape(0) == k && gradient.shape(1) == n, "the gradient has another shape");
    require(!velocity || (velocity->shape(0) == k && velocity->shape(1) == n), "the velocity has another shape");
    require(norms.size() == n && w_noise.size() == n && v_noise.size() == n && g_noise.size() == n, "columns differ");
    take(step, w.data(), {w.data(), k, n, norms.data(), w_noise.data()},
         {velocity ? velocity->data() : nullptr, first, gradient.data(), v_noise.data(), g_noise.data()});
}

// The products of a gradient with both sides' probes when they are those expected, else none.
template <typename T>
std::optional<std::pair<Made<double>, Made<double>>> python_gradient_agrees(
    const Matrix<T>& gradient, const Matrix<double>& r, const Matrix<double>& q, const std::optional<Matrix<double>>& front,
    const Vector<double>& front_noise, const Matrix<double>& back, const Vector<double>& back_noise, double of_squares,
    double share, double limit) {
    const std::size_t n = gradient.shape(0), m = gradient.shape(1), k = r.shape(0);
    require(r.shape(1) == m && q.shape(0) == k && q.shape(1) == n, "the probes have another shape");
    require(!front || (front->shape(0) == k && front->shape(1) == n), "front has another shape");
    require(back.shape(0) == k && back.shape(1) == m, "back has another shape");
    require(front_noise.size() == n && back_noise.size() == m, "noise has another size");
    auto along = made<double>({k, n}), across = made<double>({k, m});
    bool right = true;
    {
        const nb::gil_scoped_release unlocked;
        Weighed rows(k, n), columns(k, m);
        weigh(gradient.data(), k, r.data(), q.data(), rows, columns);
        right = columns.close_to(back.data(), back_noise.data(), of_squares, share, limit) &&
                (!front || rows.close_to(front->data(), front_noise.data(), of_squares, share, limit));
        std::copy(rows.products.begin(), rows.products.end(), along.data());
        std::copy(columns.products.begin(), columns.products.end(), across.data());
    }
    if (!right) return std::nullopt;
    return std::pair(std::move(along), std::move(across));
}

template <typename T>
void bind_for(nb::module_& m, nb::class_<Mixing>& mixing, const char* look_name, const char* meeting_name) {
    nb::class_<Meeting<T>>(m, meeting_name)
        .def("__init__", [](Meeting<T>* self, const Matrix<double>& probes) {
            require(probes.shape(0) > 0 && probes.shape(0) <= kMostVectors / 2, "no probes, or too many");
            new (self) Meeting<T>(probes.data(), probes.shape(0), probes.shape(1));
        }, nb::arg("probes"))
        .def("__init__", [](Meeting<T>* self, const Matrix<double>& w, const Matrix<double>& across,
                            const Vector<double>& norms, const Numbers& noise, double length, double share) {
            const Tracked own = tracked(w, norms, noise);
            require(across.shape(0) == own.k && across.shape(1) == own.n, "across has another shape");
            new (self) Meeting<T>(own, across.data(), length, share);
        }, nb::arg("w"), nb::arg("across"), nb::arg("norms"), nb::arg("noise"), nb::arg("length"), nb::arg("share"))
        .def_ro("of_rounding", &Meeting<T>::of_rounding)
        .def_ro("of_drift", &Meeting<T>::of_drift);
    nb::class_<OwnedLook<T>>(m, look_name)
        .def(nb::init<std::size_t, std::size_t, std::shared_ptr<const Meeting<T>>>(), nb::arg("rows"),
             nb::arg("columns"), nb::arg("meeting") = nb::none())
        .def("add_columns", &OwnedLook<T>::add_columns, nb::arg("other"))
        .def("add_factors", &OwnedLook<T>::add_factors, nb::arg("factors").noconvert(), nb::arg("squares").noconvert())
        .def("crossed", &OwnedLook<T>::crossed)
        .def("gradient", &OwnedLook<T>::gradient, nb::arg("of_spread"), nb::arg("of_square"))
        .def_prop_ro("dots", [](const OwnedLook<T>& look) { return look.shown(look.dots, look.look.at.k); },
                     nb::rv_policy::automatic)
        .def_prop_ro("squares", [](const OwnedLook<T>& look) { return look.shown(look.squares, look.look.at.w + 1); },
                     nb::rv_policy::automatic)
        .def_prop_ro("rows", [](const OwnedLook<T>& look) { return look.look.at.rows; })
        .def_prop_ro("columns", [](const OwnedLook<T>& look) { return look.look.at.n; })
        .def_prop_ro("finite", &OwnedLook<T>::finite)
        .def_prop_ro("total", &OwnedLook<T>::total)
        .def_prop_ro("seconds", [](const OwnedLook<T>& look) { return look.look.seconds; });
    m.def("reorder", &apply_reordering<T>, nb::arg("x").noconvert(), nb::arg("rows"), nb::arg("columns"),
          nb::arg("out").noconvert(), nb::kw_only(), nb::arg("undo") = false, nb::arg("dual") = false,
          nb::arg("look") = nb::none(), nb::arg("threads") = 1);
    mixing.def("columns", &apply_to_columns<T>, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::kw_only(),
               nb::arg("undo") = false, nb::arg("threads") = 1);
    m.def("mix", &apply_mix<T>, nb::arg("x").noconvert(), nb::arg("rows"), nb::arg("columns"),
          nb::arg("out").noconvert(), nb::arg("shields").noconvert() = nb::none(), nb::kw_only(),
          nb::arg("scale") = 0.0, nb::arg("sign") = 1.0, nb::arg("look") = nb::none(), nb::arg("threads") = 1);
    m.def("undo_mix", &apply_undo_mix<T>, nb::arg("y").noconvert(), nb::arg("rows"), nb::arg("columns"),
          nb::arg("out").noconvert(), nb::kw_only(), nb::arg("look") = nb::none(), nb::arg("threads") = 1);
    m.def("gradient_agrees", &python_gradient_agrees<T>, nb::arg("gradient").noconvert(), nb::arg("r"), nb::arg("q"),
          nb::arg("front").none(), nb::arg("front_noise"), nb::arg("back"), nb::arg("back_noise"), nb::kw_only(),
          nb::arg("of_squares"), nb::arg("share"), nb::arg("limit"));
    m.def("look_at", &python_look_at<T>, nb::arg("x").noconvert(), nb::arg("look"), nb::kw_only(),
          nb::arg("threads") = 1);
}

template <typename S, typename A>
void bind_residual(nb::module_& m) {
    m.def("worst_residual", &python_worst_residual<S, A>, nb::arg("seen"), nb::arg("answer"), nb::kw_only(),
          nb::arg("of_answer"), nb::arg("share"));
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
        .def("__len__", &Reordering::size)
        .def_prop_ro("order", [](const Reordering& self) {
            auto found = made<std::int32_t>({self.size()});
            std::copy_n(self.view<double>(false, false).index, self.size(), found.data());
            return found;
        }, nb::rv_policy::automatic);
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
    bind_for<float>(m, mixing, "SingleLook", "SingleMeeting");
    bind_for<double>(m, mixing, "DoubleLook", "DoubleMeeting");
    nb::class_<Step>(m, "Step").def(nb::init<double, double, double, double, double, bool, bool>(), nb::arg("lr"),
                                    nb::arg("momentum"), nb::arg("dampening"), nb::arg("decay"), nb::arg("scale"),
                                    nb::arg("nesterov"), nb::arg("maximize"));
    m.def("take_step", &python_step, nb::arg("w").noconvert(), nb::arg("velocity").noconvert().none(),
          nb::arg("gradient").noconvert(), nb::arg("norms").noconvert(), nb::arg("w_noise").noconvert(),
          nb::arg("v_noise").noconvert(), nb::arg("g_noise").noconvert(), nb::arg("first"), nb::arg("step"));
    bind_residual<float, float>(m);
    bind_residual<float, double>(m);
    bind_residual<double, float>(m);
    bind_residual<double, double>(m);
    m.def("kernel_path", [] { return std::string(active_kernels().name); });
    m.def("available_kernel_paths", &available_paths);
    m.def("set_kernel_path", [](const std::string& path) {
        require(select_path(path), "kernel path is not available on this processor");
    }, nb::arg("path"));
}

}  // namespace kakuri::blinding::python

#include "diagonals_binding.hpp"

#include <nanobind/stl/set.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <set>

#include "checks.hpp"
#include "diagonals.hpp"

namespace kakuri::ckks::python {

namespace {

using Entry = std::tuple<int, long long, int, long long, RealArray>;

Diagonals encode_diagonals(const Parameters& parameters, int level, double scale, const std::vector<Entry>& entries,
                           int inputs, int outputs, int threads) {
    std::vector<DiagonalEntry> list;
    list.reserve(entries.size());
    for (const auto& [output, giant, input, baby, values] : entries)
        list.push_back({output, giant, input, baby, {values.data(), values.size()}});
    const nb::gil_scoped_release unlocked;
    ThreadPool pool(checked_threads(threads));
    return Diagonals::encode(parameters.context, level, scale, inputs, outputs, list, pool);
}

// The steps for which a transform needs rotation keys.
std::set<int> steps(const Diagonals& diagonals) {
    std::set<int> out;
    for (const DiagonalKey& key : diagonals.terms()) out.insert({key.giant, key.baby});
    out.erase(0);
    return out;
}

}  // namespace

void bind_diagonals(nb::module_& m) {
    nb::class_<Diagonals>(m, "Diagonals")
        .def_prop_ro("parameters", [](const Diagonals& d) { return Parameters{d.context()}; })
        .def_prop_ro("level", &Diagonals::level)
        .def_prop_ro("scale", &Diagonals::scale)
        .def_prop_ro("inputs", &Diagonals::inputs)
        .def_prop_ro("outputs", &Diagonals::outputs)
        .def_prop_ro("nbytes", &Diagonals::nbytes)
        .def_prop_ro("steps", &steps)
        .def("__len__", [](const Diagonals& d) { return d.terms().size(); })
        .def("save", &Diagonals::save, nb::arg("path"), nb::call_guard<nb::gil_scoped_release>())
        .def_static(
            "open",
            [](const Parameters& parameters, const std::string& path) {
                const nb::gil_scoped_release unlocked;
                return Diagonals::open(parameters.context, path);
            },
            nb::arg("parameters"), nb::arg("path"));
    m.def("encode_diagonals", &encode_diagonals, nb::arg("parameters"), nb::arg("level"), nb::arg("scale"),
          nb::arg("entries"), nb::kw_only(), nb::arg("inputs"), nb::arg("outputs"), nb::arg("threads") = 1);
}

}  // namespace kakuri::ckks::python

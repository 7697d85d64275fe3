// Purpose: the module kakuri._ckks_secret; src/kakuri/_ckks_secret.pyi is its documentation.
// Guarantees: the secret key offers no comparison, printing or pickling of its contents.
#include "secret.hpp"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>

#include "shared.hpp"

namespace kakuri::ckks::python {

namespace {

using Unlocked = nb::call_guard<nb::gil_scoped_release>;

void bind_secret_key(nb::module_& m) {
    nb::class_<SecretKey>(m, "SecretKey")
        .def_static(
            "generate", [](const Parameters& p) { return SecretKey::generate(p.context); }, nb::arg("parameters"),
            Unlocked())
        .def_prop_ro("parameters", [](const SecretKey& k) { return Parameters{k.context()}; })
        .def("to_bytes",
             [](const SecretKey& k) {
                 Bytes data = k.bytes();
                 nb::bytes out = to_python(data);
                 ::explicit_bzero(data.data(), data.size());
                 return out;
             })
        .def_static(
            "from_bytes",
            [](const Parameters& parameters, nb::object data) {
                const ByteView view(data);
                return SecretKey::parse(parameters.context, view.span());
            },
            nb::arg("parameters"), nb::arg("data"))
        .def("public_key", &SecretKey::public_key, Unlocked())
        .def(
            "evaluation_keys",
            [](const SecretKey& k, nb::object rotations, std::optional<int> relinearization_level) {
                const auto levels =
                    nb::cast<std::map<long long, int>>(nb::module_::import_("builtins").attr("dict")(rotations));
                if (relinearization_level && *relinearization_level < 0)
                    throw Error({"KK-N05", "level does not exist in these parameters", "relinearization_level",
                                 std::to_string(*relinearization_level),
                                 "0 to " + std::to_string(k.context()->max_level()), ""});
                const nb::gil_scoped_release unlocked;
                return KeysHandle{std::make_shared<const EvaluationKeys>(
                    k.evaluation_keys(levels, relinearization_level.value_or(-1)))};
            },
            nb::arg("rotations"), nb::arg("relinearization_level").none() = nb::none())
        .def("encrypt", &SecretKey::encrypt, nb::arg("plaintext"), Unlocked())
        .def(
            "decrypt",
            [](const SecretKey& k, const Ciphertext& c, double precision_bits, std::optional<double> flooding_bits) {
                if (flooding_bits && !(*flooding_bits >= 0))
                    throw Error({"KK-N15", "flooding noise is out of range", "flooding_bits",
                                 std::to_string(*flooding_bits), "at least 0", ""});
                std::vector<double> values;
                {
                    const nb::gil_scoped_release unlocked;
                    values = k.decrypt(c, precision_bits, flooding_bits.value_or(-1));
                }
                const std::size_t count = values.size();
                return to_array(std::move(values), {count});
            },
            nb::arg("ciphertext"), nb::kw_only(), nb::arg("precision_bits"),
            nb::arg("flooding_bits").none() = nb::none())
        .def("__repr__", [](const SecretKey&) { return "<SecretKey>"; })
        .def(
            "__eq__", [](nb::handle a, nb::handle b) { return a.is(b); }, nb::arg("other").none())
        .def("__hash__", [](nb::handle a) { return reinterpret_cast<std::intptr_t>(a.ptr()) >> 4; });
}

}  // namespace

NB_MODULE(_ckks_secret, m) {
    nb::module_::import_("kakuri._ckks");  // its types appear in signatures here
    register_errors();
    bind_secret_key(m);
}

}  // namespace kakuri::ckks::python

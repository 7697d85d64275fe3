// Purpose: the module kakuri._ckks; src/kakuri/_ckks.pyi is its documentation.
// Guarantees: every heavy call releases the GIL; no type here can hold a secret key.
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "checks.hpp"
#include "diagonals_binding.hpp"
#include "evaluator.hpp"
#include "primes.hpp"
#include "python_host.hpp"
#include "secret.hpp"
#include "security.hpp"
#include "shared.hpp"

namespace kakuri::ckks::python {

namespace {

using Unlocked = nb::call_guard<nb::gil_scoped_release>;
using WeightMatrix = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ResidueArray = nb::ndarray<const u64, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using ResidueRow = nb::ndarray<const u64, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr std::array<const char*, 2> kRingNames = {"standard", "conjugate_invariant"};

RingKind ring_kind(const std::string& name) {
    if (name == kRingNames[0]) return RingKind::kStandard;
    if (name == kRingNames[1]) return RingKind::kConjugateInvariant;
    throw Error({"KK-N17", "ring does not exist", "ring", name.substr(0, 40), "standard, conjugate_invariant", ""});
}

Parameters make_parameters(const std::shared_ptr<PythonHost>& host, ParameterLiteral literal, bool allow_insecure) {
    const nb::gil_scoped_release unlocked;
    return {std::make_shared<const Context>(std::move(literal), allow_insecure, host)};
}

template <class T>
std::vector<const T*> pointers(const nb::sequence& items) {
    std::vector<const T*> out;
    for (nb::handle item : items) out.push_back(nb::cast<const T*>(item, false));
    for (const T* item : out)
        if (item == nullptr) throw nb::type_error("None is not allowed in this sequence");
    return out;
}

nb::ndarray<nb::numpy, u64> residues(const Buffer& words, std::vector<std::size_t> shape) {
    return to_array(std::vector<u64>(words.data(), words.data() + words.size()), std::move(shape));
}

Ciphertext ciphertext_from_residues(const Parameters& parameters, const ResidueArray& array, double scale) {
    const Context& context = *parameters.context;
    const int level = static_cast<int>(std::min<std::size_t>(array.shape(1), kMaxPrimes + 1)) - 1;
    if ((array.shape(0) != 2 && array.shape(0) != 3) || array.shape(2) != context.n())
        throw Error({"KK-N11", "residues must have the shape (2 or 3, level + 1, N)", "residues",
                     std::to_string(array.shape(0)) + " x " + std::to_string(array.shape(1)) + " x " +
                         std::to_string(array.shape(2)),
                     "", ""});
    check_level(level, context.max_level(), "residues");
    check_scale(scale, context.log_modulus(level), "scale");
    Ciphertext out(parameters.context, static_cast<int>(array.shape(0)), level, scale);
    std::memcpy(out.words.data(), array.data(), out.words.size() * sizeof(u64));
    for (int p = 0; p < out.size; ++p)
        for (int i = 0; i <= level; ++i)
            for (std::size_t j = 0; j < context.n(); ++j)
                if (out.limb(p, i)[j] >= context.modulus(i).q)
                    throw Error({"KK-N11", "a residue is not below its prime", "residues", "",
                                 std::to_string(context.modulus(i).q), ""});
    return out;
}

nb::ndarray<nb::numpy, u64> transform(const Parameters& parameters, int prime, const ResidueRow& values, bool inverse) {
    const Context& context = *parameters.context;
    if (prime < 0 || prime > context.max_level() + context.special_count() || values.shape(0) != context.n())
        throw Error({"KK-N11", "one residue per coefficient of an existing prime is needed", "values",
                     std::to_string(values.shape(0)) + " values, prime " + std::to_string(prime),
                     std::to_string(context.n()), ""});
    Buffer words(context.n());
    for (std::size_t j = 0; j < context.n(); ++j) words.data()[j] = context.modulus(prime).reduce(values.data()[j]);
    if (inverse)
        context.from_ntt(prime, words.data(), 1);
    else
        context.to_ntt(prime, words.data());
    return residues(words, {context.n()});
}

void bind_parameters(nb::module_& m, const std::shared_ptr<PythonHost>& host) {
    nb::class_<Parameters>(m, "Parameters")
        .def(
            "__init__",
            [host](Parameters* self, int log_n, std::vector<u64> moduli, std::vector<u64> special_moduli, int digits,
                   const std::string& ring, bool allow_insecure) {
                new (self) Parameters(make_parameters(
                    host, {log_n, std::move(moduli), std::move(special_moduli), digits, ring_kind(ring)}, allow_insecure));
            },
            nb::arg("log_n"), nb::arg("moduli"), nb::arg("special_moduli"), nb::arg("digits"), nb::kw_only(),
            nb::arg("ring") = "standard", nb::arg("allow_insecure") = false)
        .def_prop_ro("log_n", [](const Parameters& p) { return p.context->log_n(); })
        .def_prop_ro("ring", [](const Parameters& p) { return kRingNames[p.context->ring().folded() ? 1 : 0]; })
        .def_prop_ro("n", [](const Parameters& p) { return p.context->n(); })
        .def_prop_ro("slots", [](const Parameters& p) { return p.context->slots(); })
        .def_prop_ro("moduli", [](const Parameters& p) { return p.context->literal().moduli; })
        .def_prop_ro("special_moduli", [](const Parameters& p) { return p.context->literal().special_moduli; })
        .def_prop_ro("digits", [](const Parameters& p) { return p.context->literal().digits; })
        .def_prop_ro("max_level", [](const Parameters& p) { return p.context->max_level(); })
        .def_prop_ro("log_qp", [](const Parameters& p) { return p.context->log_qp(); })
        .def_prop_ro("security_bits", [](const Parameters& p) { return p.context->security_bits(); })
        .def_prop_ro("digest",
                     [](const Parameters& p) {
                         const Digest& d = p.context->digest();
                         return nb::bytes(reinterpret_cast<const char*>(d.data()), d.size());
                     })
        .def("to_bytes", [](const Parameters& p) { return to_python(parameter_bytes(p.context->literal())); })
        .def_static(
            "from_bytes",
            [host](nb::object data, bool allow_insecure) {
                return make_parameters(host, parse_parameters(ByteView(data).span()), allow_insecure);
            },
            nb::arg("data"), nb::kw_only(), nb::arg("allow_insecure") = false)
        .def(
            "__eq__",
            [](const Parameters& a, nb::object other) {
                return nb::isinstance<Parameters>(other) &&
                       nb::cast<const Parameters&>(other).context->digest() == a.context->digest();
            },
            nb::arg("other").none())
        .def("__hash__",
             [](const Parameters& p) {
                 std::int64_t hash = 0;
                 std::memcpy(&hash, p.context->digest().data(), sizeof hash);
                 return hash >> 3;
             })
        .def("__repr__", [](const Parameters& p) {
            return "Parameters(log_n=" + std::to_string(p.context->log_n()) +
                   (p.context->ring().folded() ? ", ring=conjugate_invariant" : "") +
                   ", levels=" + std::to_string(p.context->max_level()) +
                   ", digits=" + std::to_string(p.context->literal().digits) + ", log_qp=" + text(p.context->log_qp()) +
                   ", security_bits=" + std::to_string(p.context->security_bits()) + ")";
        });
}

void bind_data(nb::module_& m) {
    nb::class_<Plaintext>(m, "Plaintext")
        .def_ro("level", &Plaintext::level)
        .def_ro("scale", &Plaintext::scale)
        .def_prop_ro("nbytes", [](const Plaintext& p) { return p.words.size() * sizeof(u64); })
        .def("residues", [](const Plaintext& p) {
            return residues(p.words, {static_cast<std::size_t>(p.level + 1), p.context->n()});
        });
    nb::class_<Ciphertext>(m, "Ciphertext")
        .def_prop_ro("parameters", [](const Ciphertext& c) { return Parameters{c.context}; })
        .def_ro("level", &Ciphertext::level)
        .def_ro("scale", &Ciphertext::scale)
        .def_ro("size", &Ciphertext::size)
        .def_prop_ro("nbytes", &ciphertext_length)
        .def_prop_ro("memory_bytes", [](const Ciphertext& c) { return c.words.size() * sizeof(u64); })
        .def("to_bytes",
             [](const Ciphertext& c) {
                 Bytes data;
                 {
                     const nb::gil_scoped_release unlocked;
                     data = ciphertext_bytes(c);
                 }
                 return to_python(data);
             })
        .def_static(
            "from_bytes",
            [](const Parameters& parameters, nb::object data) {
                const ByteView view(data);
                const nb::gil_scoped_release unlocked;
                return parse_ciphertext(parameters.context, view.span());
            },
            nb::arg("parameters"), nb::arg("data"))
        .def("residues",
             [](const Ciphertext& c) {
                 return residues(c.words, {static_cast<std::size_t>(c.size), static_cast<std::size_t>(c.level + 1),
                                           c.context->n()});
             })
        .def_static("from_residues", &ciphertext_from_residues, nb::arg("parameters"), nb::arg("residues"),
                    nb::arg("scale"));
    nb::class_<PublicKey>(m, "PublicKey")
        .def_prop_ro("parameters", [](const PublicKey& k) { return Parameters{k.pair.context}; })
        .def("to_bytes", [](const PublicKey& k) { return to_python(public_key_bytes(k)); })
        .def_static(
            "from_bytes",
            [](const Parameters& parameters, nb::object data) {
                const ByteView view(data);
                const nb::gil_scoped_release unlocked;
                return parse_public_key(parameters.context, view.span());
            },
            nb::arg("parameters"), nb::arg("data"));
    nb::class_<KeysHandle>(m, "EvaluationKeys")
        .def_prop_ro("parameters", [](const KeysHandle& k) { return Parameters{k.keys->context}; })
        .def_prop_ro("rotations",
                     [](const KeysHandle& k) {
                         std::map<int, int> out;
                         for (const auto& [step, key] : k.keys->rotations) out[step] = key.level;
                         return out;
                     })
        .def_prop_ro("relinearization_level",
                     [](const KeysHandle& k) -> std::optional<int> {
                         if (!k.keys->relinearization) return std::nullopt;
                         return k.keys->relinearization->level;
                     })
        .def_prop_ro("nbytes", [](const KeysHandle& k) { return evaluation_keys_length(*k.keys); })
        .def_prop_ro("memory_bytes", [](const KeysHandle& k) { return evaluation_keys_memory(*k.keys); })
        .def("to_bytes",
             [](const KeysHandle& k) {
                 Bytes data;
                 {
                     const nb::gil_scoped_release unlocked;
                     data = evaluation_keys_bytes(*k.keys);
                 }
                 return to_python(data);
             })
        .def_static(
            "from_bytes",
            [](const Parameters& parameters, nb::object data) {
                const ByteView view(data);
                const nb::gil_scoped_release unlocked;
                return KeysHandle{
                    std::make_shared<const EvaluationKeys>(parse_evaluation_keys(parameters.context, view.span()))};
            },
            nb::arg("parameters"), nb::arg("data"));
}

void bind_evaluator(nb::module_& m) {
    nb::class_<Evaluator>(m, "Evaluator")
        .def(
            "__init__",
            [](Evaluator* self, const Parameters& parameters, const KeysHandle* keys, int threads) {
                new (self) Evaluator(parameters.context, keys != nullptr ? keys->keys : nullptr, threads);
            },
            nb::arg("parameters"), nb::arg("keys").none() = nb::none(), nb::arg("threads") = 1)
        .def_prop_ro("counters",
                     [](const Evaluator& e) {
                         const Counts counts = e.counters();
                         nb::dict out;
                         for (std::size_t i = 0; i < counts.size(); ++i) out[kCountNames[i]] = counts[i];
                         return out;
                     })
        .def("reset_counters", &Evaluator::reset_counters)
        .def_prop_ro("threads", &Evaluator::threads)
        .def("add", &Evaluator::add, nb::arg("a"), nb::arg("b"), Unlocked())
        .def("sub", &Evaluator::subtract, nb::arg("a"), nb::arg("b"), Unlocked())
        .def("negate", &Evaluator::negate, nb::arg("a"), Unlocked())
        .def(
            "add_many",
            [](Evaluator& e, nb::sequence items) {
                const auto list = pointers<Ciphertext>(items);
                const nb::gil_scoped_release unlocked;
                return e.add_many(list);
            },
            nb::arg("items"))
        .def("add_plain", &Evaluator::add_plain, nb::arg("a"), nb::arg("p"), Unlocked())
        .def("add_scalar", &Evaluator::add_scalar, nb::arg("a"), nb::arg("value"), Unlocked())
        .def("multiply", &Evaluator::multiply, nb::arg("a"), nb::arg("b"), Unlocked())
        .def("square", &Evaluator::square, nb::arg("a"), Unlocked())
        .def("relinearize", &Evaluator::relinearize, nb::arg("a"), nb::arg("rescale") = 0, Unlocked())
        .def("rescale", &Evaluator::rescale, nb::arg("a"), Unlocked())
        .def("drop_to_level", &Evaluator::drop_to_level, nb::arg("a"), nb::arg("level"), Unlocked())
        .def("set_scale", &Evaluator::set_scale, nb::arg("a"), nb::arg("scale"), Unlocked())
        .def("multiply_plain", &Evaluator::multiply_plain, nb::arg("a"), nb::arg("p"), Unlocked())
        .def("multiply_scalar", &Evaluator::multiply_scalar, nb::arg("a"), nb::arg("value"), nb::arg("scale"),
             Unlocked())
        .def(
            "dot_plain",
            [](Evaluator& e, nb::sequence items, nb::sequence plaintexts) {
                const auto list = pointers<Ciphertext>(items);
                const auto plain = pointers<Plaintext>(plaintexts);
                const nb::gil_scoped_release unlocked;
                return e.dot_plain(list, plain);
            },
            nb::arg("items"), nb::arg("plaintexts"))
        .def(
            "linear_combination",
            [](Evaluator& e, nb::sequence items, const WeightMatrix& weights, double weight_scale,
               const Plaintext* mask) {
                const auto list = pointers<Ciphertext>(items);
                if (weights.shape(1) != list.size())
                    throw Error({"KK-N11", "weights must have one column per ciphertext", "weights",
                                 std::to_string(weights.shape(1)), std::to_string(list.size()), ""});
                const nb::gil_scoped_release unlocked;
                return e.linear_combination(list, {weights.data(), weights.size()}, weights.shape(0), weight_scale,
                                            mask);
            },
            nb::arg("items"), nb::arg("weights"), nb::arg("weight_scale"), nb::arg("mask").none() = nb::none())
        .def("rotate", &Evaluator::rotate, nb::arg("a"), nb::arg("step"), Unlocked())
        .def(
            "rotate_hoisted",
            [](Evaluator& e, const Ciphertext& a, const std::vector<long long>& steps) {
                const nb::gil_scoped_release unlocked;
                return e.rotate_hoisted(a, steps);
            },
            nb::arg("a"), nb::arg("steps"))
        .def(
            "rotate_sum",
            [](Evaluator& e, const Ciphertext& a, const std::vector<long long>& steps) {
                const nb::gil_scoped_release unlocked;
                return e.rotate_sum(a, steps);
            },
            nb::arg("a"), nb::arg("steps"))
        .def(
            "linear_transform",
            [](Evaluator& e, nb::sequence items, const Diagonals& diagonals, int rescale) {
                const auto list = pointers<Ciphertext>(items);
                const nb::gil_scoped_release unlocked;
                return e.linear_transform(list, diagonals, rescale);
            },
            nb::arg("items"), nb::arg("diagonals"), nb::arg("rescale") = 0);
}

}  // namespace

NB_MODULE(_ckks, m) {
    register_errors();
    const auto host = std::make_shared<PythonHost>();
    bind_parameters(m, host);
    bind_data(m);
    bind_diagonals(m);
    bind_evaluator(m);
    m.def(
        "ntt_primes",
        [](int log_n, const std::vector<int>& bits, const std::string& ring) {
            return ntt_primes({log_n, ring_kind(ring)}, bits);
        },
        nb::arg("log_n"), nb::arg("bits"), nb::arg("ring") = "standard");
    m.def("max_log_qp", &max_log_qp, nb::arg("log_n"));
    m.def("kernel_path", [host] { return std::string(host->kernels().name); });
    m.def("available_kernel_paths", [] { return KernelSelection::available(); });
    m.def("set_kernel_path", [host](const std::string& path) { host->selection().select(path); }, nb::arg("path"));
    m.def(
        "encode",
        [](const Parameters& parameters, const RealArray& values, double scale, int level) {
            const nb::gil_scoped_release unlocked;
            return encode(parameters.context, {values.data(), values.size()}, scale, level);
        },
        nb::arg("parameters"), nb::arg("values"), nb::arg("scale"), nb::arg("level"));
    m.def(
        "decode",
        [](const Plaintext& plaintext) {
            std::vector<double> values = decode(plaintext);
            const std::size_t count = values.size();
            return to_array(std::move(values), {count});
        },
        nb::arg("plaintext"));
    m.def("transform", &transform, nb::arg("parameters"), nb::arg("prime"), nb::arg("values"), nb::kw_only(),
          nb::arg("inverse") = false);
    m.def("encrypt", &encrypt, nb::arg("public_key"), nb::arg("plaintext"), Unlocked());
}

}  // namespace kakuri::ckks::python

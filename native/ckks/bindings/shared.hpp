// Purpose: what both extension modules need: handles that Python owns, buffers in and out, and errors as KakuriError.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <memory>
#include <vector>

#include "serialize.hpp"

namespace kakuri::ckks::python {

namespace nb = nanobind;

// The Python class Parameters: a handle, so that data objects share one Context without touching Python's counts.
struct Parameters {
    ContextPtr context;
};

struct KeysHandle {
    std::shared_ptr<const EvaluationKeys> keys;
};

using RealArray = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

inline void raise(const Error& error) {
    const nb::object module = nb::module_::import_("kakuri.errors");
    nb::list problems;
    for (const Problem& p : error.problems())
        problems.append(module.attr("Problem")(p.code, p.what, p.where, p.got, p.limit, p.hint));
    const nb::object type = module.attr("KakuriError");
    const nb::object value = type.attr("collect")(problems);
    PyErr_SetObject(type.ptr(), value.ptr());
}

inline void register_errors() {
    nb::register_exception_translator([](const std::exception_ptr& pending, void*) {
        try {
            std::rethrow_exception(pending);
        } catch (const Error& error) {
            raise(error);
        }
    });
}

inline nb::bytes to_python(const Bytes& data) {
    return nb::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

// Any contiguous bytes-like object, held while it is read.
class ByteView {
public:
    explicit ByteView(nb::handle object) {
        if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
    }
    ~ByteView() { PyBuffer_Release(&view_); }
    ByteView(const ByteView&) = delete;
    ByteView& operator=(const ByteView&) = delete;
    ByteSpan span() const { return {static_cast<const std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)}; }

private:
    Py_buffer view_{};
};

// Moves a vector into a NumPy array that owns it.
template <class T>
nb::ndarray<nb::numpy, T> to_array(std::vector<T> values, std::vector<std::size_t> shape) {
    auto* owned = new std::vector<T>(std::move(values));
    nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::ndarray<nb::numpy, T>(owned->data(), shape.size(), shape.data(), owner);
}

}  // namespace kakuri::ckks::python

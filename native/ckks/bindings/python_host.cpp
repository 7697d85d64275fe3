#include "python_host.hpp"

#include <nanobind/nanobind.h>

#include <cstring>

namespace kakuri::ckks::python {

namespace nb = nanobind;

Digest PythonHost::sha256(std::span<const std::span<const std::uint8_t>> parts) const {
    const nb::gil_scoped_acquire gil;
    const nb::object hash = nb::module_::import_("hashlib").attr("sha256")();
    for (const auto part : parts) {
        // A view: the part may be a mapped file of hundreds of megabytes. hashlib lets go of the GIL while it reads.
        char* address = const_cast<char*>(reinterpret_cast<const char*>(part.data()));
        const auto size = static_cast<Py_ssize_t>(part.size());
        hash.attr("update")(nb::steal(PyMemoryView_FromMemory(address, size, PyBUF_READ)));
    }
    const nb::object digest = hash.attr("digest")();
    Digest out;
    std::memcpy(out.data(), PyBytes_AsString(digest.ptr()), out.size());
    return out;
}

void PythonHost::expand(const Seed& seed, StreamId id, std::uint32_t block, std::span<std::uint8_t> out) const {
    // ChaCha20's 16-byte initial block: counter, then nonce (host.hpp).
    std::uint8_t initial[16];
    std::memcpy(initial, &block, 4);
    std::memcpy(initial + 4, &id.stream, 8);
    std::memcpy(initial + 12, &id.domain, 4);
    std::memset(out.data(), 0, out.size());

    const nb::gil_scoped_acquire gil;
    const nb::object ciphers = nb::module_::import_("cryptography.hazmat.primitives.ciphers");
    // Views, not bytes: no copy of the seed or of the stream stays behind in Python's heap.
    const auto view = [](void* data, std::size_t size, int flags) {
        return nb::steal(PyMemoryView_FromMemory(static_cast<char*>(data), static_cast<Py_ssize_t>(size), flags));
    };
    Seed key = seed;
    const nb::object algorithm =
        nb::module_::import_("cryptography.hazmat.primitives.ciphers.algorithms")
            .attr("ChaCha20")(view(key.data(), key.size(), PyBUF_READ),
                              nb::bytes(reinterpret_cast<const char*>(initial), sizeof initial));
    const nb::object encryptor = ciphers.attr("Cipher")(algorithm, nb::none()).attr("encryptor")();
    encryptor.attr("update_into")(view(out.data(), out.size(), PyBUF_READ), view(out.data(), out.size(), PyBUF_WRITE));
    explicit_bzero(key.data(), key.size());
}

}  // namespace kakuri::ckks::python

// Purpose: one contiguous, cache-line aligned array of 64-bit words; and its twin for secrets, wiped when freed.
// Guarantees: 64-byte alignment; contents of a fresh Buffer are undefined; SecretArray contents start at zero and are
//   overwritten with explicit_bzero before the memory is returned.
#pragma once

#include <string.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "modular.hpp"

namespace kakuri::ckks {

inline constexpr std::size_t kAlignment = 64;

class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::size_t words) : words_(words), data_(words == 0 ? nullptr : allocate(words)) {}
    Buffer(const Buffer& other) : Buffer(other.words_) {
        if (words_ != 0) std::memcpy(data_.get(), other.data_.get(), words_ * sizeof(u64));
    }
    Buffer(Buffer&& other) noexcept : words_(std::exchange(other.words_, 0)), data_(std::move(other.data_)) {}
    Buffer& operator=(Buffer other) noexcept {
        std::swap(words_, other.words_);
        std::swap(data_, other.data_);
        return *this;
    }

    u64* data() { return data_.get(); }
    const u64* data() const { return data_.get(); }
    std::size_t size() const { return words_; }

private:
    struct Free {
        void operator()(u64* p) const { ::operator delete[](p, std::align_val_t{kAlignment}); }
    };
    static u64* allocate(std::size_t words) {
        return static_cast<u64*>(::operator new[](words * sizeof(u64), std::align_val_t{kAlignment}));
    }
    std::size_t words_ = 0;
    std::unique_ptr<u64[], Free> data_;
};

template <class T>
class SecretArray {
public:
    explicit SecretArray(std::size_t count)
        : count_(count), data_(static_cast<T*>(::operator new[](count * sizeof(T), std::align_val_t{kAlignment}))) {
        std::memset(static_cast<void*>(data_), 0, count * sizeof(T));
    }
    SecretArray(const SecretArray&) = delete;
    SecretArray& operator=(const SecretArray&) = delete;
    SecretArray(SecretArray&& other) noexcept
        : count_(std::exchange(other.count_, 0)), data_(std::exchange(other.data_, nullptr)) {}
    SecretArray& operator=(SecretArray&&) = delete;
    ~SecretArray() {
        if (data_ == nullptr) return;
        ::explicit_bzero(data_, count_ * sizeof(T));
        ::operator delete[](data_, std::align_val_t{kAlignment});
    }

    T* data() { return data_; }
    const T* data() const { return data_; }
    std::size_t size() const { return count_; }
    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }

private:
    std::size_t count_;
    T* data_;
};

}  // namespace kakuri::ckks

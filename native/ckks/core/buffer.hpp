// Purpose: contiguous, cache-line aligned arrays of 64-bit words: from a pool that keeps freed ones, plain, and for
//   secrets.
// Guarantees: 64-byte alignment; contents of a fresh Buffer are undefined; SecretArray contents start at zero, never
//   come from a pool, and are overwritten with explicit_bzero before the memory is returned. A pool keeps at most
//   kRetainedWords.
#pragma once

#include <string.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "modular.hpp"

namespace kakuri::ckks {

inline constexpr std::size_t kAlignment = 64;

// Words left free after each of several long rows that are read side by side. Rows of a power of two apart would all
// fall into one set of the cache.
inline constexpr std::size_t kRowPadding = 40;

inline constexpr std::size_t kHugePage = std::size_t{1} << 21;

// Large arrays ask for huge pages: the loops stream through many of them at once, more than a processor keeps small
// pages' addresses for.
inline u64* allocate_words(std::size_t words) {
    const std::size_t bytes = words * sizeof(u64);
    const bool large = bytes >= kHugePage / 2;
    const std::size_t unit = large ? kHugePage : kAlignment;
    void* p = std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
    if (p == nullptr) throw std::bad_alloc();
    if (large) ::madvise(p, bytes, MADV_HUGEPAGE);  // a wish: fails harmlessly where there are none
    return static_cast<u64*>(p);
}
inline void free_words(u64* p) { std::free(p); }

// Freed arrays by size. Ciphertexts come and go in a few sizes; taking their pages from the operating system each time
// costs as much as an addition. Safe to use from several threads.
class BufferPool {
public:
    BufferPool() = default;
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;
    ~BufferPool() {
        for (auto& [words, arrays] : free_)
            for (u64* p : arrays) free_words(p);
    }

    u64* take(std::size_t words) {
        {
            const std::lock_guard guard(lock_);
            std::vector<u64*>& arrays = free_[words];
            if (!arrays.empty()) {
                u64* p = arrays.back();
                arrays.pop_back();
                retained_ -= words;
                return p;
            }
        }
        return allocate_words(words);
    }
    void give(u64* p, std::size_t words) noexcept {
        const std::lock_guard guard(lock_);
        const auto found = free_.find(words);
        if (found == free_.end() || retained_ + words > kRetainedWords) return free_words(p);
        try {
            found->second.push_back(p);
            retained_ += words;
        } catch (const std::bad_alloc&) {
            free_words(p);
        }
    }

private:
    static constexpr std::size_t kRetainedWords = std::size_t{1} << 24;  // 128 MiB
    std::mutex lock_;
    std::map<std::size_t, std::vector<u64*>> free_;
    std::size_t retained_ = 0;
};

class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::size_t words, std::shared_ptr<BufferPool> pool = nullptr)
        : words_(words),
          pool_(std::move(pool)),
          data_(words == 0 ? nullptr
                : pool_    ? pool_->take(words)
                           : allocate_words(words)) {}
    Buffer(const Buffer& other) : Buffer(other.words_, other.pool_) {
        if (words_ != 0) std::memcpy(data_, other.data_, words_ * sizeof(u64));
    }
    Buffer(Buffer&& other) noexcept
        : words_(std::exchange(other.words_, 0)),
          pool_(std::move(other.pool_)),
          data_(std::exchange(other.data_, nullptr)) {}
    Buffer& operator=(Buffer other) noexcept {
        std::swap(words_, other.words_);
        std::swap(pool_, other.pool_);
        std::swap(data_, other.data_);
        return *this;
    }
    ~Buffer() {
        if (data_ == nullptr) return;
        if (pool_)
            pool_->give(data_, words_);
        else
            free_words(data_);
    }

    u64* data() { return data_; }
    const u64* data() const { return data_; }
    std::size_t size() const { return words_; }

private:
    std::size_t words_ = 0;
    std::shared_ptr<BufferPool> pool_;
    u64* data_ = nullptr;
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

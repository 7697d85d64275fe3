// Purpose: large read-mostly memory: anonymous pages (huge ones where the system offers them) or a file, read in place.
// Guarantees: page-aligned; an anonymous mapping starts at zero; unmapped when destroyed.
// Does not guarantee: anything if another process changes or truncates the file while it is mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace kakuri::ckks {

class Mapping {
public:
    static Mapping anonymous(std::size_t bytes);           // throws std::bad_alloc
    static Mapping read_only_file(const std::string& path);  // throws KK-F48
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();

    std::uint8_t* data() { return data_; }
    const std::uint8_t* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::span<const std::uint8_t> bytes() const { return {data_, size_}; }

private:
    Mapping(std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
    std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

// Replaces the file at `path` by the parts, one after the other; only its owner may read it. Throws KK-F48.
void write_file(const std::string& path, std::span<const std::span<const std::uint8_t>> parts);

}  // namespace kakuri::ckks

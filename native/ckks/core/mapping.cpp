#include "mapping.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <new>
#include <utility>

#include "error.hpp"

namespace kakuri::ckks {

namespace {

Error file_error(const char* what, const std::string& path, int number) {
    return Error({"KK-F48", what, path, ::strerror(number), "", ""});
}

class Descriptor {
public:
    Descriptor(const std::string& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (value_ >= 0) ::close(value_);
    }
    int get() const { return value_; }

private:
    int value_;
};

void write_all(int descriptor, std::span<const std::uint8_t> data, const std::string& path) {
    while (!data.empty()) {
        const ssize_t done = ::write(descriptor, data.data(), data.size());
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) throw file_error("file cannot be written", path, errno);
        data = data.subspan(static_cast<std::size_t>(done));
    }
}

}  // namespace

Mapping Mapping::anonymous(std::size_t bytes) {
    if (bytes == 0) return {nullptr, 0};
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::bad_alloc();
    ::madvise(data, bytes, MADV_HUGEPAGE);  // a wish: fails harmlessly where huge pages are off
    return {static_cast<std::uint8_t*>(data), bytes};
}

Mapping Mapping::read_only_file(const std::string& path) {
    const Descriptor file(path, O_RDONLY);
    struct stat status {};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0) throw file_error("file cannot be read", path, errno);
    if (!S_ISREG(status.st_mode)) throw file_error("file cannot be read", path, EINVAL);
    if (status.st_size == 0) return {nullptr, 0};
    const auto size = static_cast<std::size_t>(status.st_size);
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (data == MAP_FAILED) throw file_error("file cannot be mapped", path, errno);
    return {static_cast<std::uint8_t*>(data), size};
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Mapping::~Mapping() {
    if (data_ != nullptr) ::munmap(data_, size_);
}

void write_file(const std::string& path, std::span<const std::span<const std::uint8_t>> parts) {
    const std::string partial = path + ".partial";
    {
        const Descriptor file(partial, O_WRONLY | O_CREAT | O_TRUNC);
        if (file.get() < 0) throw file_error("file cannot be written", path, errno);
        try {
            for (const auto part : parts) write_all(file.get(), part, path);
        } catch (const Error&) {
            ::unlink(partial.c_str());
            throw;
        }
    }
    if (std::rename(partial.c_str(), path.c_str()) != 0) {
        const int number = errno;
        ::unlink(partial.c_str());
        throw file_error("file cannot be written", path, number);
    }
}

}  // namespace kakuri::ckks

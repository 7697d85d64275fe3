// Purpose: encoded diagonals as a file that is mapped into memory and read in place.
#include <algorithm>
#include <cstring>

#include "checks.hpp"
#include "diagonals.hpp"
#include "serialize.hpp"

namespace kakuri::ckks {

namespace {

constexpr std::size_t kFixedBytes = kBoundHeaderBytes + 4 * 4 + 8 + 8;
constexpr std::size_t kTermBytes = 4 * 4;
constexpr std::size_t kPage = 4096;

std::size_t header_bytes(std::size_t terms) { return (kFixedBytes + terms * kTermBytes + kPage - 1) / kPage * kPage; }

Error out_of_range(const char* where, std::string got, std::string limit) {
    return Error({"KK-F45", "field is out of range", where, std::move(got), std::move(limit),
                  "the bytes are damaged or of another kind"});
}

int bounded(Reader& in, const char* where, u64 least, u64 most) {
    const u64 value = in.get<std::uint32_t>(where);
    if (value < least || value > most)
        throw out_of_range(where, std::to_string(value), std::to_string(least) + " to " + std::to_string(most));
    return static_cast<int>(value);
}

// Ascending keys that reach every output.
std::vector<DiagonalKey> read_terms(Reader& in, const Context& context, u64 count, int inputs, int outputs) {
    std::vector<DiagonalKey> terms;
    terms.reserve(count);
    int next_output = 0;
    for (u64 t = 0; t < count; ++t) {
        DiagonalKey key{};
        key.output = bounded(in, "term output", 0, static_cast<u64>(outputs) - 1);
        key.giant = bounded(in, "term giant step", 0, context.slots() - 1);
        key.input = bounded(in, "term input", 0, static_cast<u64>(inputs) - 1);
        key.baby = bounded(in, "term baby step", 0, context.slots() - 1);
        const bool ascending = terms.empty() || terms.back() < key;
        if (!ascending || key.output > next_output)
            throw Error({"KK-F47", "terms are not in ascending order, or an output has none", "terms",
                         "term " + std::to_string(t), "", "the bytes are damaged or of another kind"});
        next_output = key.output + 1;
        terms.push_back(key);
    }
    if (next_output != outputs) throw out_of_range("outputs", std::to_string(outputs), std::to_string(next_output));
    return terms;
}

}  // namespace

std::vector<std::uint8_t> Diagonals::header() const {
    Writer out(header_bytes(terms_.size()));
    out.header("KKDG", 0);
    out.bytes(context_->digest());
    for (std::size_t field : {static_cast<std::size_t>(level_), static_cast<std::size_t>(inputs_),
                              static_cast<std::size_t>(outputs_), terms_.size()})
        out.put(static_cast<std::uint32_t>(field));
    out.put(scale_);
    out.put(static_cast<u64>(nbytes()));
    for (const DiagonalKey& key : terms_)
        for (int field : {key.output, key.giant, key.input, key.baby}) out.put(static_cast<std::uint32_t>(field));
    Bytes bytes = out.take();
    bytes.resize(header_bytes(terms_.size()));
    return bytes;
}

std::vector<std::uint8_t> Diagonals::bytes() const {
    Bytes out;
    with_parts([&](std::span<const ByteSpan> parts) {
        for (const ByteSpan part : parts) out.insert(out.end(), part.begin(), part.end());
    });
    return out;
}

void Diagonals::save(const std::string& path) const {
    with_parts([&](std::span<const ByteSpan> parts) { write_file(path, parts); });
}

// use(header, residues, hash of both); the residues are not copied.
template <class Use>
void Diagonals::with_parts(Use use) const {
    const Bytes head = header();
    const ByteSpan content[] = {head, {memory_.data() + offset_, nbytes()}};
    const Digest digest = context_->host().sha256(content);
    const ByteSpan parts[] = {content[0], content[1], digest};
    use(parts);
}

Diagonals Diagonals::open(ContextPtr context, const std::string& path) {
    return parse(std::move(context), Mapping::read_only_file(path));
}

Diagonals Diagonals::parse(ContextPtr context, Mapping file) {
    Reader in(file.bytes());
    in.header("KKDG", 0);
    in.digest(*context);
    const int level = bounded(in, "level", 0, static_cast<u64>(context->max_level()));
    const int inputs = bounded(in, "inputs", 1, INT32_MAX);
    const int outputs = bounded(in, "outputs", 1, INT32_MAX);
    const u64 count = in.get<std::uint32_t>("terms");
    const double scale = in.get<double>("scale");
    const u64 payload = in.get<u64>("payload length");
    if (!(scale > 0) || !(std::log2(scale) < context->log_modulus(level)))
        throw out_of_range("scale", text(scale), "2^" + text(context->log_modulus(level)));
    const auto slots = static_cast<u64>(level + 1 + context->special_count());
    const u64 expected = slots * term_bytes(*context) * count;
    const std::size_t offset = header_bytes(count);
    if (count == 0 || payload != expected || file.size() != offset + expected + sizeof(Digest))
        throw Error({"KK-F41", "file has the wrong length", "payload length",
                     std::to_string(payload) + " declared, file of " + std::to_string(file.size()) + " bytes",
                     std::to_string(expected) + " in a file of " +
                         std::to_string(offset + expected + sizeof(Digest)) + " bytes",
                     "the bytes are damaged or of another kind"});
    const ByteSpan content = file.bytes().first(file.size() - sizeof(Digest));
    const ByteSpan hashed[] = {content};
    if (std::memcmp(context->host().sha256(hashed).data(), content.data() + content.size(), sizeof(Digest)) != 0)
        throw Error({"KK-F49", "content does not match its hash", "SHA-256", "", "", "the file is damaged: make it again"});
    std::vector<DiagonalKey> terms = read_terms(in, *context, count, inputs, outputs);
    const ByteSpan padding = content.subspan(kFixedBytes + count * kTermBytes, offset - kFixedBytes - count * kTermBytes);
    if (std::any_of(padding.begin(), padding.end(), [](std::uint8_t byte) { return byte != 0; }))
        throw out_of_range("padding", "not zero", "0");
    Diagonals out(context, level, scale, inputs, outputs, std::move(terms), std::move(file), offset);
    for (int s = 0; s <= level + context->special_count(); ++s) {
        const u64 q = context->modulus(s <= level ? s : context->special_index(s - level - 1)).q;
        const u64* words = out.slot(s, level);
        if (std::any_of(words, words + out.chunks() * out.stride(), [q](u64 word) { return word >= q; }))
            throw Error({"KK-F46", "a residue is not below its prime", "residues", "", std::to_string(q),
                         "the bytes are damaged or of another kind"});
    }
    return out;
}

}  // namespace kakuri::ckks

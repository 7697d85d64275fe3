#include "ciphertext.hpp"

#include <cstring>

namespace kakuri::ckks {

Ciphertext::Ciphertext(ContextPtr owner, int polynomials, int at_level, double at_scale)
    : context(std::move(owner)),
      size(polynomials),
      level(at_level),
      scale(at_scale),
      words(static_cast<std::size_t>(polynomials) * static_cast<std::size_t>(at_level + 1) * context->n(),
            context->pool()) {}

PublicKey::PublicKey(ContextPtr context) : pair(context, 2, context->max_level(), 1.0) {}

KeySwitchKey::KeySwitchKey(const Context& context, int at_level)
    : n(context.n()),
      level(at_level),
      digits(context.digits_at(at_level)),
      words(static_cast<std::size_t>(at_level + 1 + context.special_count()) * slot_words()) {}

// The word of position j: the same for row and key in blocks of kChunkWords.
void KeySwitchKey::write(int slot, int digit, int part, const u64* row) {
    u64* chunks = words.data() + static_cast<std::size_t>(slot) * slot_words() + static_cast<std::size_t>(digit) * kKeyWords;
    for (std::size_t j = 0; j < n; j += kChunkWords)
        std::memcpy(chunks + chunk_of(j, n) * stride() + key_word(static_cast<std::size_t>(part), j, n), row + j,
                    kChunkWords * sizeof(u64));
}

void KeySwitchKey::read(int slot, int digit, int part, u64* row) const {
    const u64* chunks = stream(slot) + static_cast<std::size_t>(digit) * kKeyWords;
    for (std::size_t j = 0; j < n; j += kChunkWords)
        std::memcpy(row + j, chunks + chunk_of(j, n) * stride() + key_word(static_cast<std::size_t>(part), j, n),
                    kChunkWords * sizeof(u64));
}

}  // namespace kakuri::ckks

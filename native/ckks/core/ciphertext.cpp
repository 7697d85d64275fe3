#include "ciphertext.hpp"

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
      words(static_cast<std::size_t>(at_level + 1 + context.special_count()) * static_cast<std::size_t>(digits) * 2 *
            (n + kRowPadding)) {}

}  // namespace kakuri::ckks

#include "keyswitch.hpp"

#include <cstring>

namespace kakuri::ckks {

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

const u64* KeySwitcher::coefficients(std::span<const u64* const> polynomials) const {
    const std::size_t limbs = at(level + 1);
    u64* y = workspace.words(Workspace::kCoefficients, polynomials.size() * limbs * n());
    pool.run(polynomials.size() * limbs, [&](std::size_t i, std::size_t) {
        const int limb = static_cast<int>(i % limbs);
        const int digit = limb / context.alpha();
        const BaseConversion& conversion = context.digit_conversion(digit, level);
        std::memcpy(y + i * n(), polynomials[i / limbs] + i % limbs * n(), n() * sizeof(u64));
        context.from_ntt(limb, y + i * n(), conversion.inverse_cofactor(at(limb - context.digit_begin(digit))));
    });
    return y;
}

bool KeySwitcher::own_limb(int digit, int slot) const {
    const int begin = context.digit_begin(digit);
    return slot >= begin && slot < begin + context.digit_size(digit, level);
}

void KeySwitcher::extend_digit(const u64* y, std::size_t d, std::size_t of_slot, u64* out) const {
    const int digit = static_cast<int>(d), slot = static_cast<int>(of_slot);
    if (own_limb(digit, slot)) return;
    const int begin = context.digit_begin(digit);
    const int size = context.digit_size(digit, level);
    const u64* sources[kMaxPrimes];
    for (int i = 0; i < size; ++i) sources[i] = y + at(begin + i) * n();
    const int p = prime(slot);
    context.digit_conversion(digit, level).convert(context.kernels(), context.modulus(p), p, sources, out, n());
    context.to_ntt(p, out);
}

void KeySwitcher::mod_up(const u64* c, u64* out) const {
    const u64* y = coefficients({&c, 1});
    pool.run(at(slots()) * digits(), [&](std::size_t i, std::size_t) {
        extend_digit(y, i % digits(), i / digits(), out + i * digit_row());
    });
}

RotationTerms KeySwitcher::terms(const u64* c, const u64* digits_of_slot, const KeySwitchKey& key, int slot,
                                 const u64** storage) const {
    const int key_slot = slot <= level ? slot : key.level + slot - level;
    for (std::size_t d = 0; d < digits(); ++d)
        storage[d] = own_limb(static_cast<int>(d), slot) ? c + at(slot) * n() : digits_of_slot + d * digit_row();
    return {storage,        digits(), key.stream(key_slot),
            key.stride(), key.permutation.empty() ? nullptr : key.permutation.data(),
            nullptr,        nullptr,  0};
}

void KeySwitcher::multiply_key(const u64* c, const u64* digits_of_slot, const KeySwitchKey& key, int slot,
                               ChunkRange range, u64* r0, u64* r1) const {
    const u64* storage[kMaxPrimes];
    context.kernels().rotate(context.modulus(prime(slot)), r0 + at(slot) * n(), r1 + at(slot) * n(),
                             terms(c, digits_of_slot, key, slot, storage), range);
}

void KeySwitcher::inner_product(const u64* c, const u64* all_digits, const KeySwitchKey& key, u64* r0, u64* r1) const {
    const std::size_t chunks = ChunkRange::whole(n()).count, pieces = std::min(at(pool.threads()), chunks);
    pool.run(at(slots()) * pieces, [&](std::size_t task, std::size_t) {
        const std::size_t slot = task / pieces, piece = task % pieces, first = chunks * piece / pieces;
        multiply_key(c, all_digits + slot * slot_digits(), key, static_cast<int>(slot),
                     {first, chunks * (piece + 1) / pieces - first, n()}, r0, r1);
    });
}

void KeySwitcher::mod_up_inner_product(const u64* c, const KeySwitchKey& key, u64* r0, u64* r1) const {
    for_slots_of_digits({&c, 1}, [&](int slot, std::size_t, const u64* of_slot, ChunkRange range) {
        multiply_key(c, of_slot, key, slot, range, r0, r1);
    });
}

void KeySwitcher::mod_up_add_rotations(std::span<const Rotated> all) const {
    std::vector<const u64*> polynomials;
    for (const Rotated& term : all) polynomials.push_back(term.c);
    for_slots_of_digits(polynomials, [&](int slot, std::size_t p, const u64* of_slot, ChunkRange range) {
        const u64* storage[kMaxPrimes];
        const auto& [c, key, addend, r0, r1] = all[p];
        RotationTerms rotation = terms(c, of_slot, *key, slot, storage);
        const std::size_t offset = at(slot) * n();
        rotation.addend0 = addend + offset;
        rotation.weight = 1;
        context.kernels().add_rotation(context.modulus(prime(slot)), r0 + offset, r1 + offset, rotation, range);
    });
}

void KeySwitcher::mod_down(std::span<const Division> divisions, int rescale) const {
    const BaseConversion& conversion = context.division(level, rescale);
    const std::size_t kept = at(level + 1 - rescale), divided = at(slots()) - kept;
    const std::size_t together = pool.threads() == 1 ? 1 : divisions.size();
    u64* scratch = workspace.words(Workspace::kTemporary, at(pool.threads()) * n());
    for (std::size_t first = 0; first < divisions.size(); first += together) {
        const auto batch = divisions.subspan(first, std::min(together, divisions.size() - first));
        pool.run(batch.size() * divided, [&](std::size_t task, std::size_t) {
            const std::size_t i = task % divided;
            context.from_ntt(prime(static_cast<int>(kept + i)), batch[task / divided].extended + (kept + i) * n(),
                             conversion.inverse_cofactor(i));
        });
        pool.run(batch.size() * kept, [&](std::size_t task, std::size_t worker) {
            const auto [extended, r] = batch[task / kept];
            const std::size_t i = task % kept;
            const int limb = static_cast<int>(i);
            const u64* sources[kMaxPrimes];
            for (std::size_t s = 0; s < divided; ++s) sources[s] = extended + (kept + s) * n();
            u64* carried = scratch + worker * n();
            conversion.convert(context.kernels(), context.modulus(limb), limb, sources, carried, n());
            context.to_ntt(limb, carried);
            context.kernels().subtract_multiply(context.modulus(limb), r + i * n(), extended + i * n(), carried,
                                                conversion.inverse_product(limb), n());
        });
    }
}

void divide_by_top_prime(const Context& context, int level, const u64* c, u64* r, u64* top) {
    const std::size_t n = context.n();
    const BaseConversion& conversion = context.rescale_conversion(level);
    std::memcpy(top, c + at(level) * n, n * sizeof(u64));
    context.from_ntt(level, top, 1);
    const u64* sources[] = {top};
    for (int i = 0; i < level; ++i) {
        u64* out = r + at(i) * n;
        conversion.convert(context.kernels(), context.modulus(i), i, sources, out, n);
        context.to_ntt(i, out);
        context.kernels().subtract_multiply(context.modulus(i), out, c + at(i) * n, out, conversion.inverse_product(i),
                                            n);
    }
}

}  // namespace kakuri::ckks

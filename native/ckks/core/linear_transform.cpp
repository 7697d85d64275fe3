// Purpose: products of ciphertext vectors with encoded matrices by baby steps and giant steps, hoisted twice.
// Guarantees: out_o = sum_g rotate_g(sum_{i,b} diagonal[o,g,i,b] rotate_b(items_i)) with one ModUp per input, one
//   ModDown of one polynomial and one key switch per giant step, and one ModDown per output, which rescales too.
// Source: Bossuat, Mouchet, Troncoso-Pastoriza and Hubaux, "Efficient bootstrapping for approximate homomorphic
//   encryption with non-sparse keys", eprint 2020/1203, section 4 (double hoisting); Halevi and Shoup, eprint 2018/244.
#include <algorithm>
#include <cstring>

#include "evaluator_shared.hpp"

namespace kakuri::ckks {

namespace {

constexpr std::size_t kTileBytes = 1u << 17;  // packed rotations of one tile: room is left for the digits
constexpr std::size_t kLeastTileChunks = 8;
constexpr std::size_t kMostTileChunks = 512;
constexpr std::size_t kRangesPerThread = 4;  // pieces of one limb that threads share
constexpr std::size_t kGiantsPerThread = 4;  // giant steps that threads share

class LinearTransform {
public:
    // rotation_keys: for every rotation of the diagonals, null where the baby step is 0; group_keys likewise.
    LinearTransform(const KeySwitcher& switcher, const Diagonals& diagonals, std::span<const Ciphertext* const> items,
                    std::vector<const KeySwitchKey*> rotation_keys, std::vector<const KeySwitchKey*> group_keys)
        : context_(switcher.context),
          switcher_(switcher),
          diagonals_(diagonals),
          items_(items),
          rotation_keys_(std::move(rotation_keys)),
          group_keys_(std::move(group_keys)),
          digits_(items.size(), nullptr) {}

    // The sums before the last division: [output][polynomial] extended polynomials.
    u64* run() {
        lift_inputs();
        place_sums();
        switcher_.pool.run(slots() * ranges(), [&](std::size_t task, std::size_t worker) {
            const std::size_t chunks = diagonals_.chunks() / ranges();
            multiply(static_cast<int>(task / ranges()), task % ranges() * chunks, chunks, worker);
        });
        add_giant_steps();
        return totals_;
    }

private:
    std::size_t n() const { return context_.n(); }
    std::size_t slots() const { return static_cast<std::size_t>(switcher_.slots()); }
    std::size_t pair_words() const { return 2 * switcher_.extended_words(); }
    std::size_t ranges() const {
        const std::size_t threads = static_cast<std::size_t>(switcher_.pool.threads());
        std::size_t ranges = 1;
        while (threads > 1 && ranges < kRangesPerThread * threads && ranges < diagonals_.chunks()) ranges *= 2;
        return ranges;
    }
    std::size_t tile_chunks() const {
        const std::size_t fitting = kTileBytes / (rotation_keys_.size() * kPackedWords * sizeof(u64));
        return std::clamp(fitting, kLeastTileChunks, kMostTileChunks);
    }

    // One ModUp for every input that is rotated at all.
    void lift_inputs() {
        std::size_t lifted = 0;
        for (std::size_t r = 0; r < rotation_keys_.size(); ++r) {
            const auto input = static_cast<std::size_t>(diagonals_.rotations()[r].input);
            if (rotation_keys_[r] != nullptr && digits_[input] == nullptr) {
                digits_[input] = items_[input]->limb(1, 0);  // marks it; replaced below
                ++lifted;
            }
        }
        const std::size_t words = slots() * switcher_.slot_digits();
        u64* memory = switcher_.workspace.words(Workspace::kLifted, lifted * words);
        for (const u64*& digits : digits_) {
            if (digits == nullptr) continue;
            switcher_.mod_up(digits, memory);
            digits = memory;
            memory += words;
        }
    }

    // A group without giant step sums straight into its output's total.
    void place_sums() {
        const auto outputs = static_cast<std::size_t>(diagonals_.outputs());
        totals_ = switcher_.workspace.words(Workspace::kTotals, outputs * pair_words());
        const auto giants = static_cast<std::size_t>(std::count_if(
            group_keys_.begin(), group_keys_.end(), [](const KeySwitchKey* key) { return key != nullptr; }));
        u64* memory = switcher_.workspace.words(Workspace::kGroups, giants * pair_words());
        std::vector<bool> summed(outputs);
        for (std::size_t g = 0; g < group_keys_.size(); ++g) {
            const auto output = static_cast<std::size_t>(diagonals_.groups()[g].output);
            if (group_keys_[g] == nullptr) {
                sums_.push_back(totals_ + output * pair_words());
                summed[output] = true;
            } else {
                sums_.push_back(memory);
                memory += pair_words();
            }
        }
        for (std::size_t o = 0; o < outputs; ++o)
            if (!summed[o]) std::memset(totals_ + o * pair_words(), 0, pair_words() * sizeof(u64));
    }

    RotationTerms rotation_terms(std::size_t r, int slot, const u64** storage) const {
        const auto input = static_cast<std::size_t>(diagonals_.rotations()[r].input);
        RotationTerms rotation{nullptr, 0, nullptr, 0, nullptr, nullptr, nullptr, 0};
        const KeySwitchKey* key = rotation_keys_[r];
        if (key != nullptr) {
            const u64* digits = digits_[input] + static_cast<std::size_t>(slot) * switcher_.slot_digits();
            rotation = switcher_.terms(items_[input]->limb(1, 0), digits, *key, slot, storage);
        }
        if (slot > switcher_.level) return rotation;  // P times a polynomial vanishes modulo the special primes
        rotation.weight = context_.special_conversion().product(slot);
        rotation.addend0 = items_[input]->limb(0, slot);
        if (key == nullptr) rotation.addend1 = items_[input]->limb(1, slot);
        return rotation;
    }

    // All sums over `count` chunks of one slot: tile by tile, so that the rotations of a tile stay in cache while the
    // diagonals stream past them.
    void multiply(int slot, std::size_t first, std::size_t count, std::size_t worker) {
        const std::size_t rotations = rotation_keys_.size();
        const std::size_t stride = rotations * kPackedWords;
        u64* packed = packed_memory(worker);
        const Modulus& m = context_.modulus(switcher_.prime(slot));
        std::vector<const u64*> storage(rotations * switcher_.digits());
        std::vector<RotationTerms> sources(rotations);
        for (std::size_t r = 0; r < rotations; ++r)
            sources[r] = rotation_terms(r, slot, &storage[r * switcher_.digits()]);
        std::vector<DiagonalGroup> groups;
        for (std::size_t g = 0; g < sums_.size(); ++g) {
            u64* r0 = sums_[g] + static_cast<std::size_t>(slot) * n();
            const Diagonals::Group& group = diagonals_.groups()[g];
            groups.push_back({r0, r0 + switcher_.extended_words(), &diagonals_.rotation_of_term()[group.first],
                              group.terms});
        }
        const u64* words = diagonals_.slot(slot, switcher_.level);
        for (std::size_t at = first; at < first + count; at += tile_chunks()) {
            const ChunkRange tile{at, std::min(tile_chunks(), first + count - at), n()};
            for (std::size_t r = 0; r < rotations; ++r)
                context_.kernels().pack_rotation(m, packed + r * kPackedWords, stride, sources[r], tile);
            context_.kernels().diagonal_sums(m, groups.data(), groups.size(), packed, stride,
                                             words + at * diagonals_.stride(), diagonals_.stride(),
                                             diagonals_.symmetric(), tile);
        }
    }

    u64* packed_memory(std::size_t worker) {
        const std::size_t words = tile_chunks() * rotation_keys_.size() * kPackedWords;
        return packed_ + worker * words;
    }

    // One at a time by one thread, several at a time by several threads: the fewer steps, the less one waits for another.
    // Only the second polynomial leaves the extended basis; the first is rotated in it.
    void add_giant_steps() {
        std::vector<std::size_t> giants;
        for (std::size_t g = 0; g < group_keys_.size(); ++g)
            if (group_keys_[g] != nullptr) giants.push_back(g);
        const std::size_t words = static_cast<std::size_t>(switcher_.level + 1) * n();
        const auto threads = static_cast<std::size_t>(switcher_.pool.threads());
        const std::size_t together = std::min(giants.size(), threads == 1 ? 1 : kGiantsPerThread * threads);
        u64* reduced = switcher_.workspace.words(Workspace::kGiant, together * words);
        for (std::size_t first = 0; first < giants.size(); first += together) {
            std::vector<KeySwitcher::Division> divisions;
            std::vector<KeySwitcher::Rotated> rotated;
            for (std::size_t i = 0; i < std::min(together, giants.size() - first); ++i) {
                const std::size_t g = giants[first + i];
                u64* r0 = totals_ + static_cast<std::size_t>(diagonals_.groups()[g].output) * pair_words();
                divisions.push_back({sums_[g] + switcher_.extended_words(), reduced + i * words});
                rotated.push_back({reduced + i * words, group_keys_[g], sums_[g], r0, r0 + switcher_.extended_words()});
            }
            switcher_.mod_down(divisions, 0);
            switcher_.mod_up_add_rotations(rotated);
        }
    }

    const Context& context_;
    const KeySwitcher& switcher_;
    const Diagonals& diagonals_;
    std::span<const Ciphertext* const> items_;
    std::vector<const KeySwitchKey*> rotation_keys_;
    std::vector<const KeySwitchKey*> group_keys_;
    std::vector<const u64*> digits_;  // per input
    std::vector<u64*> sums_;          // per group: two extended polynomials
    u64* totals_ = nullptr;
    u64* packed_ = switcher_.workspace.words(
        Workspace::kPacked, static_cast<std::size_t>(switcher_.pool.threads()) * tile_chunks() *
                                rotation_keys_.size() * kPackedWords);
};

}  // namespace

std::vector<Ciphertext> Evaluator::linear_transform(std::span<const Ciphertext* const> items,
                                                    const Diagonals& diagonals, int rescale) {
    check_same_parameters(*context_, *diagonals.context(), "diagonals");
    check_uniform_items(items);
    for (const Ciphertext* item : items) check_size_two(*item, "items", "relinearize() it first");
    if (items.size() != static_cast<std::size_t>(diagonals.inputs()))
        throw Error({"KK-N11", "the transform has another number of inputs", "items", std::to_string(items.size()),
                     std::to_string(diagonals.inputs()), ""});
    const int level = items[0]->level;
    if (diagonals.level() < level)
        throw Error({"KK-N05", "diagonals are at a lower level than the ciphertexts", "diagonals",
                     std::to_string(diagonals.level()), "at least " + std::to_string(level),
                     "encode them at the ciphertexts' level"});
    if (context_->special_count() == 0)
        throw Error({"KK-N03", "parameters have no special modulus, so no key switching", "special_moduli", "0",
                     "at least 1", ""});
    check_fused_rescale(level, rescale);
    const double scale = items[0]->scale * diagonals.scale();
    check_product_scale(*context_, scale, level, "product of the scales");
    std::vector<const KeySwitchKey*> rotation_keys;
    std::vector<const KeySwitchKey*> group_keys;
    for (const Diagonals::Rotation& rotation : diagonals.rotations())
        rotation_keys.push_back(rotation.baby == 0 ? nullptr : &rotation_key(rotation.baby, level));
    for (const Diagonals::Group& group : diagonals.groups())
        group_keys.push_back(group.giant == 0 ? nullptr : &rotation_key(group.giant, level));

    const auto used = [](const std::vector<const KeySwitchKey*>& keys) {
        return static_cast<std::uint64_t>(keys.size()) -
               static_cast<std::uint64_t>(std::count(keys.begin(), keys.end(), nullptr));
    };
    std::vector<bool> lifted(items.size());
    for (std::size_t r = 0; r < rotation_keys.size(); ++r)
        if (rotation_keys[r] != nullptr) lifted[static_cast<std::size_t>(diagonals.rotations()[r].input)] = true;
    const std::uint64_t giants = used(group_keys);
    count(Count::kModUp, giants + static_cast<std::uint64_t>(std::count(lifted.begin(), lifted.end(), true)));
    count(Count::kModDown, giants);
    count(Count::kRotation, used(rotation_keys) + giants);
    count(Count::kHmulPlain, diagonals.terms().size());
    count(Count::kHadd, diagonals.terms().size() - static_cast<std::size_t>(diagonals.outputs()));

    Lease workspace(*this);
    const KeySwitcher switcher{*context_, pool_, *workspace, level};
    LinearTransform transform(switcher, diagonals, items, std::move(rotation_keys), std::move(group_keys));
    u64* totals = transform.run();
    std::vector<Ciphertext> out;
    out.reserve(static_cast<std::size_t>(diagonals.outputs()));
    for (int o = 0; o < diagonals.outputs(); ++o, totals += 2 * switcher.extended_words())
        out.push_back(divided(switcher, totals, totals + switcher.extended_words(), rescale, scale));
    return out;
}

}  // namespace kakuri::ckks

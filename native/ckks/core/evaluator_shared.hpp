// Purpose: what the evaluator's files share: checks with one wording each, and the loan of scratch memory.
#pragma once

#include <cmath>

#include "checks.hpp"
#include "evaluator.hpp"

namespace kakuri::ckks {

inline constexpr double kScaleTolerance = 0x1p-20;
inline constexpr std::size_t kMaxTerms = std::size_t{1} << 26;  // of a 128-bit sum of products below 2^100

inline void check_same_level(int a, int b, const char* where) {
    if (a != b)
        throw Error({"KK-N05", "operands are at different levels", where, std::to_string(b), std::to_string(a),
                     "drop_to_level() the higher one first"});
}

inline void check_same_scale(double a, double b, const char* where) {
    if (std::abs(a - b) > kScaleTolerance * a)
        throw Error({"KK-N06", "operands have different scales", where, "2^" + text(std::log2(b)),
                     "2^" + text(std::log2(a)), "rescale both, or encode the plaintext at the ciphertext's scale"});
}

inline void check_product_scale(const Context& context, double scale, int level, const char* where) {
    check_scale(scale, context.log_modulus(level), where);
}

inline Error transparent(const std::string& where) {
    return Error({"KK-N12", "the product would be a transparent ciphertext, one that anybody can read", where, "", "",
                  "leave the term out, or use a larger scale so that it does not round to zero"});
}

class Evaluator::Lease {
public:
    explicit Lease(Evaluator& owner) : owner_(owner) {
        const std::lock_guard guard(owner_.workspaces_lock_);
        if (owner_.workspaces_.empty()) {
            workspace_ = std::make_unique<Workspace>();
        } else {
            workspace_ = std::move(owner_.workspaces_.back());
            owner_.workspaces_.pop_back();
        }
    }
    ~Lease() {
        const std::lock_guard guard(owner_.workspaces_lock_);
        owner_.workspaces_.push_back(std::move(workspace_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace& operator*() { return *workspace_; }

private:
    Evaluator& owner_;
    std::unique_ptr<Workspace> workspace_;
};

}  // namespace kakuri::ckks

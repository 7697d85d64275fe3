// Purpose: the one error type that the kernel throws; the Python modules turn it into kakuri.errors.KakuriError.
// Guarantees: messages carry public sizes and levels only, never key material, residues or slot values.
#pragma once

#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace kakuri::ckks {

struct Problem {
    std::string code;   // KK-N.. kernel, KK-F.. parsing; table in native/ckks/README.md
    std::string what;   // a sentence without the value
    std::string where;  // argument, key or header field
    std::string got;
    std::string limit;
    std::string hint;
};

class Error : public std::exception {
public:
    explicit Error(Problem problem) : problems_{std::move(problem)} { set_text(); }
    explicit Error(std::vector<Problem> problems) : problems_(std::move(problems)) { set_text(); }

    const std::vector<Problem>& problems() const { return problems_; }
    const char* what() const noexcept override { return text_.c_str(); }

private:
    void set_text() {
        for (const Problem& p : problems_)
            text_ += (text_.empty() ? "" : "\n") + p.code + ": " + p.where + ": " + p.what;
    }
    std::vector<Problem> problems_;
    std::string text_;
};

}  // namespace kakuri::ckks

#include "security.hpp"

#include <algorithm>

#include "checks.hpp"

namespace kakuri::ckks {

namespace {

struct Row {
    int log_n;
    double standard_2018;
    double eprint_2024_463;
};

constexpr double kNotTabulated = 1e9;  // the minimum then comes from the other table

constexpr Row kTable[] = {
    {10, 27, 26},
    {11, 54, 53},
    {12, 109, 106},
    {13, 218, 214},
    {14, 438, 430},
    {15, 881, 868},
    {16, kNotTabulated, 1747},
};

}  // namespace

double max_log_qp(int log_n) {
    check_log_n(log_n);
    for (const Row& row : kTable)
        if (row.log_n == log_n) return std::min(row.standard_2018, row.eprint_2024_463);
    return 0.0;
}

}  // namespace kakuri::ckks

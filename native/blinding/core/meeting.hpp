// Purpose: the small vectors of verification: what an operand is met with until the next step, and how variances grow.
// Source: the tolerance of kakuri.offload.verify, whose terms these are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

namespace kakuri::blinding {

// The running fingerprint w (k, n) of a weight, and variances of its coordinates (n,) in units of u^2.
struct Tracked {
    const double* w;
    std::size_t k, n;
    const double* norms;  // squared row norms of the weight when it was last seen
    double* w_noise;

    // The squared norm of row j: as last seen or as the probes see it, whichever is larger.
    double norm(std::size_t j) const {
        double sum = 0.0;
        for (std::size_t q = 0; q < k; ++q) sum += w[q * n + j] * w[q * n + j];
        return std::max(norms[j], sum / static_cast<double>(k));
    }
};

// probes (k, n); weights (w, n), the largest of each 1; of_rounding, of_drift: what they are multiples of.
template <typename T>
struct Meeting {
    std::vector<T> probes, weights;
    std::size_t k = 0, n = 0, w = 0;
    double of_rounding = 0.0, of_drift = 0.0;

    // Probes without weights, for answers.
    Meeting(const double* probes_, std::size_t k_, std::size_t n_) : probes(probes_, probes_ + k_ * n_), k(k_), n(n_) {}

    // An operand meets the fingerprint and the other side's probes (k, n). length: of the sums that round. share: how much
    // of the mean variance each coordinate of a tier that mixes is granted; zero for one that does not, where rounding
    // and drift are one weight.
    Meeting(const Tracked& own, const double* across, double length, double share) : k(2 * own.k), n(own.n) {
        probes.assign(own.w, own.w + own.k * n);
        probes.insert(probes.end(), across, across + own.k * n);
        std::vector<double> rounding(n), drift(n);
        for (std::size_t j = 0; j < n; ++j) {
            rounding[j] = own.norm(j);
            drift[j] = own.w_noise[j] + 5.0 * rounding[j];
        }
        const double mean_norm = share > 0.0 ? mean(rounding) : 0.0, mean_drift = share * mean(drift);
        for (std::size_t j = 0; j < n; ++j) {
            rounding[j] = 0.125 * length * (rounding[j] + mean_norm);  // a mixed column sees the mean weight
            drift[j] += mean_drift;
            if (share == 0.0) rounding[j] += drift[j];
        }
        of_rounding = add(rounding);
        of_drift = share > 0.0 ? add(drift) : 0.0;
    }

private:
    static double mean(const std::vector<double>& values) {
        double sum = 0.0;
        for (const double value : values) sum += value;
        return sum / static_cast<double>(std::max<std::size_t>(1, values.size()));
    }
    double add(const std::vector<double>& values) {
        double largest = std::numeric_limits<double>::min();
        for (const double value : values) largest = std::max(largest, value);
        for (const double value : values) weights.push_back(static_cast<T>(value / largest));
        ++w;
        return largest;
    }
};

// A step of stochastic gradient descent, as kakuri.offload.sgd takes it.
struct Step {
    double lr, momentum, dampening, decay, scale;
    bool nesterov, maximize;
};

// The fingerprints of velocity and gradient (k, n), and variances of theirs (n,). velocity: null without momentum; first: it
// begins with this step.
struct Moving {
    double* velocity;
    bool first;
    const double* gradient;
    double* v_noise;
    const double* g_noise;
};

// Moves own.w (k, n) and the velocity by a step, and their variances by what a worker's rounding may have added.
inline void take(const Step& step, double* w, const Tracked& own, const Moving& moving) {
    const auto square = [](double x) { return x * x; };
    const double rate = square(step.lr / (1.0 - std::min(step.momentum, 0.999)));
    const double sign = step.maximize ? -step.scale : step.scale;
    for (std::size_t j = 0; j < own.n; ++j) {
        double size = 0.0;
        for (std::size_t at = j; at < own.k * own.n; at += own.n) {
            const double gradient = moving.gradient[at], change = sign * gradient + step.decay * w[at];
            double used = change, moved = gradient;
            if (moving.velocity != nullptr) {
                double& v = moving.velocity[at];
                v = moving.first ? change : step.momentum * v + (1.0 - step.dampening) * change;
                used = step.nesterov ? change + step.momentum * v : v;
                moved = v;
            }
            w[at] -= step.lr * used;
            size += square(moved);
        }
        const double norm = own.norm(j);
        double& noise = moving.v_noise[j];
        noise = square(step.momentum) * noise + square(step.scale) * moving.g_noise[j] +
                square(step.decay) * (own.w_noise[j] + norm) + 2.0 * size / static_cast<double>(own.k);
        own.w_noise[j] += rate * noise + norm;
    }
}

// A gradient (n, m) as a fingerprint has it: its products with probes, and the squares of its rows or columns.
struct Weighed {
    std::vector<double> products, squares;
    Weighed(std::size_t k, std::size_t size) : products(k * size), squares(size) {}

    // Whether the products are `expected`. noise: variances in units of u^2; of_squares: what more each square adds; share: of
    // their mean for every coordinate; limit: on squared differences over variances.
    bool close_to(const double* expected, const double* noise, double of_squares, double share, double limit) const {
        const std::size_t size = squares.size();
        const auto variance = [&](std::size_t j) { return noise[j] + of_squares * squares[j]; };
        double mean = 0.0;
        for (std::size_t j = 0; j < size; ++j) mean += variance(j) / static_cast<double>(size);
        for (std::size_t at = 0; at < products.size(); ++at) {
            const double difference = products[at] - expected[at];
            if (!(difference * difference <= limit * (variance(at % size) + share * mean))) return false;
        }
        return true;
    }
};

// front: with probes r (k, m), a coordinate per row; back: with probes q (k, n), one per column.
template <typename T>
void weigh(const T* gradient, std::size_t k, const double* r, const double* q, Weighed& front, Weighed& back) {
    const std::size_t n = front.squares.size(), m = back.squares.size();
    std::vector<double> row(m);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < m; ++j) {
            row[j] = static_cast<double>(gradient[i * m + j]);
            back.squares[j] += row[j] * row[j];
        }
        for (std::size_t at = 0; at < k; ++at) {
            double sums[4] = {};
            for (std::size_t j = 0; j < m; ++j) sums[j % 4] += row[j] * r[at * m + j];
            front.products[at * n + i] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
            const double factor = q[at * n + i];
            for (std::size_t j = 0; j < m; ++j) back.products[at * m + j] += factor * row[j];
        }
        for (const double value : row) front.squares[i] += value * value;
    }
}

}  // namespace kakuri::blinding

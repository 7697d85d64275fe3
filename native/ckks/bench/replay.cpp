// Purpose: replay the ciphertext operations of a compiled program with made-up values, layer by layer, so that the kernel
//   can be measured and profiled on the work of a real network without Python.
// Usage: replay PLAN [runs [threads [path]]]. PLAN is a text file that write_plan.py makes. Prints, per instruction, the
//   fastest and the median milliseconds of CPU time of all threads, then both for the whole program and the page faults of
//   the last run.
// Does not guarantee: that the values mean anything; that scales stay small (they are reset after each instruction).
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>

#include "../tests/test_host.hpp"
#include "evaluator.hpp"
#include "secret.hpp"

using namespace kakuri::ckks;

namespace {

double seconds(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

long page_faults() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

[[noreturn]] void fail(const std::string& what) {
    std::cerr << "replay: " << what << "\n";
    std::exit(2);
}

struct Step {
    std::string layer;
    std::string operation;
    std::vector<int> targets;
    std::vector<int> sources;
    std::vector<long long> arguments;
};

struct Matrix {
    int inputs, outputs, level;
    double scale;
    std::vector<std::array<long long, 4>> keys;  // output, giant, input, baby
};

struct Plan {
    ParameterLiteral parameters;
    double scale = 0;
    std::vector<Matrix> matrices;
    std::map<int, int> inputs;  // register -> level
    std::vector<Step> steps;
    std::map<long long, int> rotations;  // step -> level
    int relinearization = -1;
};

template <class T>
std::vector<T> rest(std::istream& in) {
    std::vector<T> out;
    for (T value; in >> value;) out.push_back(value);
    return out;
}

// "1,2,3", or "-" for an empty list
template <class T>
std::vector<T> list(std::istream& in) {
    std::string text;
    in >> text;
    if (text == "-") return {};
    std::replace(text.begin(), text.end(), ',', ' ');
    std::istringstream items(text);
    return rest<T>(items);
}

Plan read_plan(const char* path) {
    std::ifstream file(path);
    if (!file) fail(std::string("cannot read ") + path);
    Plan plan;
    for (std::string line; std::getline(file, line);) {
        std::istringstream in(line);
        std::string word;
        in >> word;
        if (word == "ring") {
            std::string kind;
            in >> kind >> plan.parameters.log_n >> plan.parameters.digits >> plan.scale;
            plan.parameters.ring = kind == "standard" ? RingKind::kStandard : RingKind::kConjugateInvariant;
        } else if (word == "moduli") {
            plan.parameters.moduli = rest<u64>(in);
        } else if (word == "special") {
            plan.parameters.special_moduli = rest<u64>(in);
        } else if (word == "input") {
            int at = 0;
            in >> at >> plan.inputs[at];
        } else if (word == "rotation") {
            long long step = 0;
            in >> step >> plan.rotations[step];
        } else if (word == "relinearization") {
            in >> plan.relinearization;
        } else if (word == "transform") {
            Matrix& m = plan.matrices.emplace_back();
            in >> m.inputs >> m.outputs >> m.level >> m.scale;
        } else if (word == "diagonal") {
            if (plan.matrices.empty()) fail("a diagonal before its transform");
            std::array<long long, 4>& key = plan.matrices.back().keys.emplace_back();
            in >> key[0] >> key[1] >> key[2] >> key[3];
        } else if (word == "step") {
            Step& step = plan.steps.emplace_back();
            in >> step.layer >> step.operation;
            step.targets = list<int>(in);
            step.sources = list<int>(in);
            step.arguments = list<long long>(in);
        } else if (!word.empty()) {
            fail("unknown line '" + word + "'");
        }
        if (in.bad() || (in.fail() && !in.eof())) fail("cannot parse: " + line);
    }
    return plan;
}

Diagonals encode_matrix(const ContextPtr& context, const Matrix& matrix, ThreadPool& pool) {
    std::vector<double> values(context->slots());
    test::Random random(matrix.keys.size());
    for (double& value : values) value = static_cast<double>(random.below(1 << 20)) * 0x1p-20 - 0.5;
    std::vector<DiagonalEntry> entries;
    for (const auto& [output, giant, input, baby] : matrix.keys)
        entries.push_back({static_cast<int>(output), giant, static_cast<int>(input), baby, values});
    return Diagonals::encode(context, matrix.level, matrix.scale, matrix.inputs, matrix.outputs, entries, pool);
}

class Replay {
public:
    Replay(const Plan& plan, int threads, std::shared_ptr<Host> host)
        : plan_(plan), context_(std::make_shared<const Context>(plan.parameters, true, std::move(host))) {
        ThreadPool pool(threads);
        for (const Matrix& matrix : plan.matrices) matrices_.push_back(encode_matrix(context_, matrix, pool));
        const SecretKey secret = SecretKey::generate(context_);
        keys_ = std::make_shared<const EvaluationKeys>(secret.evaluation_keys(plan.rotations, plan.relinearization));
        evaluator_ = std::make_unique<Evaluator>(context_, keys_, threads);
        const std::vector<double> values(context_->slots(), 0.5);
        for (const auto& [at, level] : plan.inputs) {
            fresh_.emplace(at, secret.encrypt(encode(context_, values, plan.scale, level)));
        }
        for (int level = 0; level <= context_->max_level(); ++level)
            plains_.emplace(level, encode(context_, values, plan.scale, level));
    }

    const Context& context() const { return *context_; }

    // Milliseconds of every step.
    std::vector<double> run() {
        std::map<int, Ciphertext> registers = fresh_;
        std::vector<double> out;
        for (const Step& step : plan_.steps) {
            const double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
            execute(step, registers);
            out.push_back(1e3 * (seconds(CLOCK_PROCESS_CPUTIME_ID) - start));
        }
        return out;
    }

private:
    void execute(const Step& step, std::map<int, Ciphertext>& registers) {
        std::vector<const Ciphertext*> items;
        for (int source : step.sources) items.push_back(&registers.at(source));
        const Ciphertext& a = *items.at(0);
        const auto argument = [&](std::size_t i) { return static_cast<int>(step.arguments.at(i)); };
        std::vector<Ciphertext> results;
        if (step.operation == "LinearTransform")
            results = evaluator_->linear_transform(items, matrices_.at(static_cast<std::size_t>(argument(0))), argument(1));
        else if (step.operation == "RotateSum")
            results.push_back(evaluator_->rotate_sum(a, step.arguments));
        else if (step.operation == "AddPlain")
            results.push_back(evaluator_->add_plain(a, plains_.at(a.level)));
        else if (step.operation == "AddScalar")
            results.push_back(evaluator_->add_scalar(a, 0.5));
        else if (step.operation == "MultiplyPlain")
            results.push_back(evaluator_->multiply_plain(a, plains_.at(a.level)));
        else if (step.operation == "Square")
            results.push_back(evaluator_->square(a));
        else if (step.operation == "Relinearize")
            results.push_back(evaluator_->relinearize(a, argument(0)));
        else if (step.operation == "Rescale")
            results.push_back(evaluator_->rescale(a));
        else if (step.operation == "DropToLevel")
            results.push_back(evaluator_->drop_to_level(a, argument(0)));
        else
            fail("unknown operation '" + step.operation + "'");
        for (std::size_t i = 0; i < results.size(); ++i) {
            results[i].scale = plan_.scale;
            registers.insert_or_assign(step.targets.at(i), std::move(results[i]));
        }
    }

    const Plan& plan_;
    ContextPtr context_;
    std::vector<Diagonals> matrices_;
    std::shared_ptr<const EvaluationKeys> keys_;
    std::unique_ptr<Evaluator> evaluator_;
    std::map<int, Ciphertext> fresh_;
    std::map<int, Plaintext> plains_;
};

struct Samples {
    std::vector<double> values;
    double fastest() const { return *std::min_element(values.begin(), values.end()); }
    double median() {
        std::sort(values.begin(), values.end());
        return values[values.size() / 2];
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) fail("usage: replay PLAN [runs [threads [path]]]");
    const int runs = std::max(1, argc > 2 ? std::atoi(argv[2]) : 11);
    const int threads = argc > 3 ? std::atoi(argv[3]) : 1;
    const Plan plan = read_plan(argv[1]);
    const auto host = std::make_shared<test::TestHost>();
    if (argc > 4) host->selection().select(argv[4]);
    Replay replay(plan, threads, host);
    replay.run();
    std::vector<Samples> steps(plan.steps.size());
    Samples whole, elapsed;
    long faults = 0;
    for (int i = 0; i < runs; ++i) {
        faults = page_faults();
        const double start = seconds(CLOCK_MONOTONIC);
        const std::vector<double> times = replay.run();
        elapsed.values.push_back(1e3 * (seconds(CLOCK_MONOTONIC) - start));
        faults = page_faults() - faults;
        double sum = 0;
        for (std::size_t s = 0; s < times.size(); ++s) {
            steps[s].values.push_back(times[s]);
            sum += times[s];
        }
        whole.values.push_back(sum);
    }
    std::printf("path %s, N = %zu, %d thread(s), %d runs; milliseconds of CPU time: fastest, median\n",
                replay.context().kernels().name, replay.context().n(), threads, runs);
    for (std::size_t s = 0; s < steps.size(); ++s)
        std::printf("%-12s %-16s %9.3f %9.3f\n", plan.steps[s].layer.c_str(), plan.steps[s].operation.c_str(),
                    steps[s].fastest(), steps[s].median());
    std::printf("%-29s %9.3f %9.3f\n", "all, CPU time", whole.fastest(), whole.median());
    std::printf("%-29s %9.3f %9.3f\n", "all, elapsed", elapsed.fastest(), elapsed.median());
    std::printf("page faults of the last run   %9ld\n", faults);
    return 0;
}

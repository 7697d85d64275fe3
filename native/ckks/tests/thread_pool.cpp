// Purpose: the thread pool under many short calls: from several callers, with pauses in which its threads fall asleep, and
//   with tasks that throw. Prints what ran; run it under ThreadSanitizer too.
#include "threads.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

using namespace kakuri::ckks;

namespace {

void require(bool holds, const char* what) {
    if (holds) return;
    std::printf("FAILED: %s\n", what);
    std::exit(1);
}

// Calls of 0 to 19 tasks; every task writes its own place, without any synchronisation of its own.
void many_calls(ThreadPool& pool, std::size_t calls, std::chrono::microseconds pause) {
    const auto threads = static_cast<std::size_t>(pool.threads());
    for (std::size_t call = 0; call < calls; ++call) {
        const std::size_t count = call % 20;
        std::vector<std::size_t> runs(count), of_worker(threads);
        pool.run(count, [&](std::size_t i, std::size_t worker) {
            ++runs.at(i);
            ++of_worker.at(worker);
        });
        std::size_t total = 0;
        for (std::size_t n : of_worker) total += n;
        for (std::size_t n : runs) require(n == 1, "every task runs once");
        require(total == count, "every task has a worker to itself");
        if (pause.count() > 0) std::this_thread::sleep_for(pause);
    }
}

void failing_calls(ThreadPool& pool) {
    for (std::size_t call = 0; call < 50; ++call) {
        std::atomic<std::size_t> ran{0};
        bool caught = false;
        try {
            pool.run(8, [&](std::size_t i, std::size_t) {
                ++ran;
                if (i % 3 == call % 3) throw std::runtime_error("task");
            });
        } catch (const std::runtime_error&) {
            caught = true;
        }
        const bool others_ran = ran == 8 || pool.threads() == 1;
        require(caught && others_ran, "an exception reaches the caller, and with several threads the other tasks run");
    }
}

}  // namespace

int main() {
    for (int threads : {1, 2, 3, 5}) {
        ThreadPool pool(threads);
        many_calls(pool, 2000, {});
        many_calls(pool, 40, std::chrono::microseconds(400));
        failing_calls(pool);
        std::vector<std::thread> callers;
        for (int i = 0; i < 3; ++i) callers.emplace_back([&] { many_calls(pool, 500, {}); });
        for (std::thread& caller : callers) caller.join();
        std::printf("%d thread(s): every task ran once\n", threads);
    }
    for (int i = 0; i < 200; ++i) ThreadPool unused(3);
    std::printf("pools without calls ended\n");
    return 0;
}

// Purpose: a small persistent pool that runs independent tasks of one call.
// Guarantees: every index runs exactly once, the caller works too, results cannot depend on the number of threads as
//   long as tasks write to disjoint memory. One thread means no pool at all. An exception of a task is rethrown to the
//   caller; with several threads the other tasks have run by then.
// A thread without work looks for more for kPatience before it sleeps, after kAlone of it letting other processes go
//   first: an evaluation is hundreds of calls a few microseconds apart, one thread's last task may take a millisecond, and
//   a thread that is woken may start late on the very processor of the one that woke it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kakuri::ckks {

class ThreadPool {
public:
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const { return static_cast<int>(workers_.size()) + 1; }
    // task(index, worker) for index in [0, count), worker in [0, threads()).
    void run(std::size_t count, const std::function<void(std::size_t, std::size_t)>& task);

private:
    static constexpr std::chrono::microseconds kAlone{100};
    static constexpr std::chrono::microseconds kPatience{2000};

    struct Job {
        const std::function<void(std::size_t, std::size_t)>* task;
        std::size_t count;
        std::atomic<std::size_t> next{0};
        std::mutex failure_lock;
        std::exception_ptr failure;
    };
    void serve(std::size_t worker);
    static void work(Job& job, std::size_t worker);
    // Until ready() or kPatience is over.
    template <class Ready>
    static void look_for(Ready ready);

    std::vector<std::thread> workers_;
    std::mutex one_job_;  // callers of one pool take turns
    std::mutex lock_;     // of everything below; atomics are also read without it
    std::condition_variable wake_;
    std::condition_variable idle_;
    Job* job_ = nullptr;                  // null when there is none to join
    std::atomic<std::size_t> posted_{0};  // jobs so far
    std::atomic<std::size_t> active_{0};  // workers that joined job_ and have not left it
    std::size_t sleeping_ = 0;
    std::atomic<bool> stopping_{false};
};

}  // namespace kakuri::ckks

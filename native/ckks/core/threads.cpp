#include "threads.hpp"

namespace kakuri::ckks {

template <class Ready>
void ThreadPool::look_for(Ready ready) {
    const auto start = std::chrono::steady_clock::now();
    for (std::chrono::steady_clock::duration spent{}; !ready() && spent < kPatience;
         spent = std::chrono::steady_clock::now() - start) {
#if defined(__x86_64__)
        if (spent < kAlone) {
            __builtin_ia32_pause();
            continue;
        }
#endif
        std::this_thread::yield();
    }
}

ThreadPool::ThreadPool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { serve(static_cast<std::size_t>(i)); });
}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard guard(lock_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(std::size_t count, const std::function<void(std::size_t, std::size_t)>& task) {
    if (workers_.empty() || count < 2) {
        for (std::size_t i = 0; i < count; ++i) task(i, 0);
        return;
    }
    const std::lock_guard turn(one_job_);
    Job job{&task, count, {}, {}, {}};
    bool wake = false;
    {
        const std::lock_guard guard(lock_);
        job_ = &job;
        ++posted_;
        wake = sleeping_ > 0;
    }
    if (wake) wake_.notify_all();
    work(job, 0);
    {
        const std::lock_guard guard(lock_);
        job_ = nullptr;  // a worker that wakes only now has nothing to do, and nobody waits for it
    }
    look_for([&] { return active_ == 0; });
    std::unique_lock guard(lock_);
    idle_.wait(guard, [&] { return active_ == 0; });
    if (job.failure) std::rethrow_exception(job.failure);
}

void ThreadPool::serve(std::size_t worker) {
    std::size_t seen = 0;
    while (true) {
        const auto called = [&] { return stopping_ || posted_ != seen; };
        look_for(called);
        std::unique_lock guard(lock_);
        ++sleeping_;
        wake_.wait(guard, called);
        --sleeping_;
        if (stopping_) return;
        seen = posted_;
        if (job_ == nullptr) continue;
        Job& job = *job_;
        ++active_;
        guard.unlock();
        work(job, worker);
        guard.lock();
        if (--active_ == 0) idle_.notify_one();
    }
}

void ThreadPool::work(Job& job, std::size_t worker) {
    for (std::size_t i = job.next++; i < job.count; i = job.next++) {
        try {
            (*job.task)(i, worker);
        } catch (...) {
            const std::lock_guard guard(job.failure_lock);
            if (!job.failure) job.failure = std::current_exception();
        }
    }
}

}  // namespace kakuri::ckks

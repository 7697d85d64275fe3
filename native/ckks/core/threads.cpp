#include "threads.hpp"

namespace kakuri::ckks {

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
    {
        const std::lock_guard guard(lock_);
        job_ = &job;
        ++generation_;
        busy_ = workers_.size();
    }
    wake_.notify_all();
    work(job, 0);
    std::unique_lock guard(lock_);
    idle_.wait(guard, [&] { return busy_ == 0; });
    job_ = nullptr;
    if (job.failure) std::rethrow_exception(job.failure);
}

void ThreadPool::serve(std::size_t worker) {
    std::size_t seen = 0;
    std::unique_lock guard(lock_);
    while (true) {
        wake_.wait(guard, [&] { return stopping_ || generation_ != seen; });
        if (stopping_) return;
        seen = generation_;
        Job& job = *job_;
        guard.unlock();
        work(job, worker);
        guard.lock();
        if (--busy_ == 0) idle_.notify_one();
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

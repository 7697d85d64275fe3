/* kk_pool_fn on POSIX threads. Waiting threads look for work for a moment, then let others go first, then sleep: waking one
 * takes longer than most steps, and it may wake on the processor of the one that called it. */
#include "kk_pool.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { LOOKS = 2000, YIELDS = 4000 };  /* about 0.1 and 2 ms where nobody else wants to go first */

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t begun, ended;
    atomic_uint round;            /* counts the runs */
    atomic_int left;              /* helpers that have not ended this one */
    kk_share_fn share;            /* a null pointer: leave */
    void *work;
    int count, threads, helpers;
    struct helper *all;
} pool;

struct helper {
    pthread_t thread;
    pool *of;
    int index;
};

static void rest(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Of waiting, the i-th time. */
static void wait_a_little(int i)
{
    if (i < LOOKS)
        rest();
    else
        sched_yield();
}

static void begin(pool *p, kk_share_fn share, void *work, int count)
{
    p->share = share;
    p->work = work;
    p->count = count;
    atomic_store(&p->left, p->helpers);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->round, 1);
    pthread_cond_broadcast(&p->begun);
    pthread_mutex_unlock(&p->lock);
}

static void *help(void *given)
{
    struct helper *self = given;
    pool *p = self->of;
    for (unsigned seen = 0;;) {
        for (int i = 0; i < LOOKS + YIELDS && atomic_load(&p->round) == seen; i++)
            wait_a_little(i);
        pthread_mutex_lock(&p->lock);
        while (atomic_load(&p->round) == seen)
            pthread_cond_wait(&p->begun, &p->lock);
        seen = atomic_load(&p->round);
        pthread_mutex_unlock(&p->lock);
        if (!p->share)
            return 0;
        for (int i = self->index; i < p->count; i += p->threads)
            p->share(p->work, i);
        if (atomic_fetch_sub(&p->left, 1) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->ended);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

void *kk_pool_pthread_begin(int threads)
{
    pool *p = threads > 0 ? calloc(1, sizeof *p) : 0;
    struct helper *all = p ? calloc((size_t)threads, sizeof *all) : 0;
    if (!all) {
        free(p);
        return 0;
    }
    pthread_mutex_init(&p->lock, 0);
    pthread_cond_init(&p->begun, 0);
    pthread_cond_init(&p->ended, 0);
    p->threads = threads;
    p->all = all;
    while (p->helpers < threads - 1) {
        struct helper *next = &all[p->helpers];
        *next = (struct helper){.of = p, .index = p->helpers + 1};
        if (pthread_create(&next->thread, 0, help, next)) {
            kk_pool_pthread_end(p);
            return 0;
        }
        p->helpers++;
    }
    return p;
}

void kk_pool_pthread(void *given, kk_share_fn share, void *work, int count)
{
    pool *p = given;
    begin(p, share, work, count);
    for (int i = 0; i < count; i += p->threads)
        share(work, i);
    for (int i = 0; i < LOOKS + YIELDS && atomic_load(&p->left); i++)
        wait_a_little(i);
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->left))
        pthread_cond_wait(&p->ended, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void kk_pool_pthread_end(void *given)
{
    pool *p = given;
    begin(p, 0, 0, 0);
    for (int i = 0; i < p->helpers; i++)
        pthread_join(p->all[i].thread, 0);
    pthread_cond_destroy(&p->ended);
    pthread_cond_destroy(&p->begun);
    pthread_mutex_destroy(&p->lock);
    free(p->all);
    free(p);
}

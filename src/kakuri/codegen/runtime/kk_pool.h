/* How the work of a step is shared: by a function of the caller's, so that no thread is part of this code.
 *
 * A kk_pool_fn calls share(work, 0) to share(work, count - 1), once each, on any threads, and returns when all have
 * returned; what they wrote is then visible to its caller. pool_pthread.c is one for POSIX threads.
 */
#ifndef KK_POOL_H
#define KK_POOL_H

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*kk_share_fn)(void *work, int index);
typedef void (*kk_pool_fn)(void *pool, kk_share_fn share, void *work, int count);

/* `threads` of them, the caller of kk_pool_pthread among them; a null pointer when that fails. One caller at a time. */
void *kk_pool_pthread_begin(int threads);
void kk_pool_pthread(void *pool, kk_share_fn share, void *work, int count);
void kk_pool_pthread_end(void *pool);

#ifdef __cplusplus
}
#endif
#endif

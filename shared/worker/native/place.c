#define _GNU_SOURCE
#include "place.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

atomic_ullong frames_done, frames_failed;
atomic_uint frames_inflight;

uint64_t now_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void queue_init(struct queue *q) {
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->filled, NULL);
	q->first = q->count = 0;
}

void queue_put(struct queue *q, const struct job *j) {
	pthread_mutex_lock(&q->lock);
	q->jobs[(q->first + q->count++) % WIRE_MAX_DEPTH] = *j; // the depth keeps count below the bound
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

struct job queue_take(struct queue *q) {
	pthread_mutex_lock(&q->lock);
	while (q->count == 0) {
		pthread_cond_wait(&q->filled, &q->lock);
	}
	struct job j = q->jobs[q->first];
	q->first = (q->first + 1) % WIRE_MAX_DEPTH;
	q->count--;
	pthread_mutex_unlock(&q->lock);
	return j;
}

void place_init(struct place *p, uint32_t depth, size_t in_bytes, size_t out_bytes, struct queue *queue) {
	pthread_mutex_init(&p->lock, NULL);
	p->depth = depth;
	p->in_bytes = in_bytes;
	p->out_bytes = out_bytes;
	p->queue = queue;
	p->arena = NULL;
	p->arena_bytes = 0;
	p->inflight = 0;
	atomic_store(&p->broken, false);
}

bool place_map(struct place *p, int fd, uint64_t size, struct failure *f) {
	if (p->arena != NULL) {
		return fail(f, WIRE_MALFORMED, "the model has an arena already");
	}
	struct stat info;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW)) {
		return fail(f, WIRE_MALFORMED, "the arena is not sealed against shrinking and growing");
	}
	if (fstat(fd, &info) != 0 || size == 0 || size > WIRE_MAX_ARENA || (uint64_t)info.st_size != size) {
		return fail(f, WIRE_MALFORMED, "the arena does not have the %llu bytes that were said", (unsigned long long)size);
	}
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		return fail(f, WIRE_MEMORY, "the arena cannot be mapped");
	}
	pthread_mutex_lock(&p->lock);
	p->arena_bytes = size;
	p->arena = at;
	pthread_mutex_unlock(&p->lock);
	return true;
}

bool place_leave(struct place *p, struct failure *f) {
	pthread_mutex_lock(&p->lock);
	bool idle = p->inflight == 0;
	if (idle && p->arena != NULL) {
		munmap(p->arena, p->arena_bytes);
		p->arena = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	return idle || fail(f, WIRE_FULL, "inferences of the model are under way");
}

// fits reports whether a side of bytes lies within the arena at offset.
static bool fits(const struct place *p, uint64_t offset, size_t bytes) {
	return offset % WIRE_ALIGN == 0 && bytes <= p->arena_bytes && offset <= p->arena_bytes - bytes;
}

static bool enter(struct place *p, const struct wire_header *request, struct failure *f) {
	if (p->arena == NULL) {
		return fail(f, WIRE_MALFORMED, "the model has no arena yet");
	}
	if (!fits(p, request->a, p->in_bytes) || !fits(p, request->b, p->out_bytes)) {
		return fail(f, WIRE_MALFORMED, "the tensors are not within the arena");
	}
	if (atomic_load(&p->broken)) {
		return fail(f, WIRE_BROKEN, "an inference failed before");
	}
	if (p->inflight >= p->depth) {
		return fail(f, WIRE_FULL, "%u inferences are under way", p->depth);
	}
	p->inflight++;
	return true;
}

void place_infer(struct place *p, const struct wire_header *request) {
	struct failure f = {0};
	pthread_mutex_lock(&p->lock);
	bool ok = enter(p, request, &f);
	pthread_mutex_unlock(&p->lock);
	if (!ok) {
		atomic_fetch_add(&frames_failed, 1);
		reply_failure(request, &f);
		return;
	}
	atomic_fetch_add(&frames_inflight, 1);
	queue_put(p->queue, &(struct job){.request = *request, .arrived = now_ns()});
}

void place_finish(struct place *p, const struct job *j, const struct failure *f, bool breaks) {
	pthread_mutex_lock(&p->lock); // before the answer: the agent may ask again at once
	p->inflight--;
	pthread_mutex_unlock(&p->lock);
	atomic_fetch_sub(&frames_inflight, 1);
	if (f != NULL) {
		if (breaks) {
			atomic_store(&p->broken, true);
		}
		atomic_fetch_add(&frames_failed, 1);
		reply_failure(&j->request, f);
		return;
	}
	atomic_fetch_add(&frames_done, 1);
	reply_with(&j->request, now_ns() - j->begun, j->begun - j->arrived, j->told);
}

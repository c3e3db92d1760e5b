// Where the tensors of a loaded model are, and its inferences that are under way.
#ifndef PLACE_H
#define PLACE_H

#include <pthread.h>
#include <stdatomic.h>

#include "reply.h"

// An inference under way.
struct job {
	struct wire_header request;
	uint64_t arrived, begun; // ns
	const struct text *told;  // payload of its answer; NULL for none
};

// A queue of at most WIRE_MAX_DEPTH jobs, with one who takes.
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct job jobs[WIRE_MAX_DEPTH];
	size_t first, count;
};

void queue_init(struct queue *q);
void queue_put(struct queue *q, const struct job *j);
struct job queue_take(struct queue *q); // waits for one

struct place {
	uint32_t depth;
	size_t in_bytes, out_bytes; // of all tensors of a side, each rounded up to WIRE_ALIGN
	struct queue *queue;        // where its jobs go
	atomic_bool broken;

	pthread_mutex_t lock; // of what follows
	char *arena;          // NULL until it is mapped; it stays while inferences are under way
	size_t arena_bytes;
	uint32_t inflight;
};

// Counters of the whole worker.
extern atomic_ullong frames_done, frames_failed;
extern atomic_uint frames_inflight;

void place_init(struct place *p, uint32_t depth, size_t in_bytes, size_t out_bytes, struct queue *queue);

// place_map takes an arena; fd stays the caller's.
bool place_map(struct place *p, int fd, uint64_t size, struct failure *f);

// place_leave gives the arena up, unless inferences are under way.
bool place_leave(struct place *p, struct failure *f);

// place_infer puts a request into the queue, or refuses it.
void place_infer(struct place *p, const struct wire_header *request);

// place_finish answers a job; f is NULL if it went well. After a failure that breaks
// the model nothing is begun any more.
void place_finish(struct place *p, const struct job *j, const struct failure *f, bool breaks);

uint64_t now_ns(void);

#endif

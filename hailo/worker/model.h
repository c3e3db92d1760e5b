// A loaded model: its streams, its arena, and the two threads that keep the
// accelerator busy.
#ifndef MODEL_H
#define MODEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "library.h"
#include "request.h"

#define MAX_SIDE 32 // tensors on one side

struct tensor {
	char name[WIRE_MAX_NAME + 1];
	size_t bytes;
	size_t at; // from the beginning of its side in a slot
	uint32_t shape[3];
	int32_t order;
	float zero, scale;
	bool nms;
};

struct side {
	size_t count;
	size_t bytes; // of all tensors, each rounded up to WIRE_ALIGN
	hrt_handle streams[MAX_SIDE];
	struct tensor tensors[MAX_SIDE];
};

// An inference under way.
struct job {
	struct wire_header request;
	uint64_t arrived, begun; // ns
};

// A queue of at most WIRE_MAX_DEPTH jobs, with one who takes.
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct job jobs[WIRE_MAX_DEPTH];
	size_t first, count;
};

struct model {
	const struct library *lib;
	uint32_t depth;
	struct side in, out;
	_Atomic(char *) arena; // NULL until it is mapped
	size_t arena_bytes;
	atomic_bool broken;
	atomic_uint inflight;
	struct queue to_write, to_read;
};

// Counters of the whole worker.
extern atomic_ullong frames_done, frames_failed;
extern atomic_uint frames_inflight;

// model_load loads the HEF in memory, which must stay; vdevice is the chip's.
bool model_load(struct model *m, const struct library *lib, hrt_handle vdevice, const void *hef, size_t size, const struct load_request *r, struct failure *f);

// model_describe writes the answer to Load.
void model_describe(const struct model *m, struct text *t, double ms);

// model_map takes an arena; fd stays the caller's.
bool model_map(struct model *m, int fd, uint64_t size, struct failure *f);

// model_infer answers request, now or from another thread.
void model_infer(struct model *m, const struct wire_header *request);

uint64_t now_ns(void);

#endif

// A loaded model: its session, its tensors, and the thread that runs it.
#ifndef MODEL_H
#define MODEL_H

#include "library.h"
#include "place.h"
#include "request.h"

#define MAX_SIDE 32 // tensors on one side

struct tensor {
	char name[WIRE_MAX_NAME + 1];
	int type;
	size_t rank; // 0 for a scalar, which is told as [1]
	int64_t dims[WIRE_MAX_DIMS];
	size_t bytes;
	size_t at; // from the beginning of its side in a slot
	double sample; // of an input: each element of it when the model is tried out
};

struct side {
	size_t count;
	size_t bytes; // of all tensors, each rounded up to WIRE_ALIGN
	const char *names[MAX_SIDE];
	struct tensor tensors[MAX_SIDE];
};

struct model {
	struct place place;
	struct queue queue;
	const struct library *lib;
	ort_session session; // NULL while the number has no model
	struct side in, out;
	bool started; // its thread, which stays for the next model of that number
};

// model_load makes a session of the file in memory, which is not needed afterwards, and
// runs it once on zeros or samples: what comes out then is what its outputs are like.
bool model_load(struct model *m, const struct library *lib, int threads, const void *file, size_t size, const struct load_request *r, struct failure *f);

// model_unload frees it, unless inferences are under way.
bool model_unload(struct model *m, struct failure *f);

// model_describe writes the answer to Load.
void model_describe(const struct model *m, struct text *t, double ms);

#endif

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
	// Of an output, bit i standing for dimension i:
	uint32_t loose; // the file does not say how large it is
	uint32_t open;  // the data decide; dims has -1, and bytes are the room for all of it
};

struct side {
	size_t count;
	size_t bytes; // of all tensors, each rounded up to WIRE_ALIGN
	const char *names[MAX_SIDE];
	struct tensor tensors[MAX_SIDE];
};

// Names and sizes of the types of side_measure's and side_make_room's tensors.
const char *type_name(int type);
size_t type_size(int type);

// tensor_count returns how many elements there are, at most one more than WIRE_MAX_ARENA.
size_t tensor_count(const struct tensor *t);

// side_measure works out how many bytes the tensor has, and where in its side it lies.
bool side_measure(struct side *side, struct tensor *t, struct failure *f);

// side_make_room gives an output its place, one whose open dimensions were found with room
// for as many elements as the manifest has; it has the dimensions of a trial.
bool side_make_room(struct side *side, struct tensor *t, const struct wanted_output *want, struct failure *f);

struct model {
	struct place place;
	struct queue queue;
	const struct library *lib;
	ort_session session; // NULL while the number has no model
	struct side in, out;
	bool open;    // an output has open dimensions
	bool guessed; // one has dimensions that only the trial tells
	bool started; // its thread, which stays for the next model of that number
};

// model_load makes a session of the file in memory, which is not needed afterwards, and
// runs it on zeros or samples: what comes out then is what its outputs are like.
bool model_load(struct model *m, const struct library *lib, int threads, const void *file, size_t size, const struct load_request *r, struct failure *f);

// model_unload frees it, unless inferences are under way.
bool model_unload(struct model *m, struct failure *f);

// model_describe writes the answer to Load.
void model_describe(const struct model *m, struct text *t, double ms);

#endif

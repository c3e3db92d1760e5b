// A loaded model: its streams, its arena, and the two threads that keep the
// accelerator busy.
#ifndef MODEL_H
#define MODEL_H

#include <sys/types.h>

#include "library.h"
#include "place.h"
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

struct model {
	const struct library *lib;
	struct place place;
	struct side in, out;
	struct queue to_write, to_read;
};

// model_load loads the HEF in memory, which must stay; vdevice is the chip's.
bool model_load(struct model *m, const struct library *lib, hrt_handle vdevice, const void *hef, size_t size, const struct load_request *r, struct failure *f);

// model_describe writes the answer to Load.
void model_describe(const struct model *m, struct text *t, double ms);

#endif

// The payload of a Load request: lines of "key value"; see package shared/worker/frame.
#ifndef REQUEST_H
#define REQUEST_H

#include "reply.h"

// A fact is a tensor as the model's file describes it.
struct fact {
	bool output, nms, quantized;
	uint32_t shape[3];
	float scale, zero;
	const char *name; // within the payload
};

// A wanted_shape closes what the model's file leaves open of an input.
struct wanted_shape {
	size_t rank;
	uint32_t dims[WIRE_MAX_DIMS];
	double sample; // of each element, when the model is tried out
	const char *name; // within the payload
};

// A wanted_output says which dimensions of an output the data decide.
struct wanted_output {
	uint32_t most; // elements, 0 for as many as the engine finds right
	uint32_t open; // bit i: dimension i
	const char *name; // within the payload
};

struct load_request {
	const char *name;
	uint32_t depth, timeout_ms;
	bool raw;
	uint32_t scheduler_timeout_ms, scheduler_threshold, scheduler_priority;
	struct fact facts[WIRE_MAX_TENSORS];
	size_t fact_count;
	struct wanted_shape shapes[WIRE_MAX_TENSORS];
	size_t shape_count;
	struct wanted_output outputs[WIRE_MAX_TENSORS];
	size_t output_count;
};

// request_parse takes payload, which ends with a zero byte and is changed, apart.
bool request_parse(char *payload, struct load_request *r, struct failure *f);

#endif

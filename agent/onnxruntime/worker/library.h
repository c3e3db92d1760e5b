// Finds ONNX Runtime, and says what went wrong in it.
#ifndef LIBRARY_H
#define LIBRARY_H

#include "abi.h"
#include "reply.h"

struct library {
	char why[512];  // it cannot be used; "" if it can
	int32_t fault;  // WIRE_OK, WIRE_NO_LIBRARY, or WIRE_UNKNOWN for a version that is too old
	char path[256];
	char version[32];
	const struct ort_api *api;
	ort_env env;
	ort_memory_info memory;
	ort_allocator allocator;
};

// library_open loads the library at path. What is wrong with it is in fault and why.
void library_open(struct library *lib, const char *path);

// called returns true if status is a success. It takes the status, and fills f with the
// name of the function that failed and what the library says of it.
bool called(const struct library *lib, ort_status status, const char *name, struct failure *f);

#endif

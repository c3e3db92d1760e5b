#include "model.h"

// What an output of open dimensions may have, in bytes, if nobody has said.
#define ROOM (4 << 20)

// The types that the agent knows too, by ONNX Runtime's number.
static const struct {
	const char *name;
	size_t size;
} types[] = {
	[ORT_FLOAT] = {"FP32", 4}, [ORT_UINT8] = {"UINT8", 1}, [ORT_INT8] = {"INT8", 1}, [ORT_UINT16] = {"UINT16", 2}, [ORT_INT16] = {"INT16", 2},
	[ORT_INT32] = {"INT32", 4}, [ORT_INT64] = {"INT64", 8}, [ORT_BOOL] = {"BOOL", 1}, [ORT_FLOAT16] = {"FP16", 2}, [ORT_DOUBLE] = {"FP64", 8},
	[ORT_UINT32] = {"UINT32", 4}, [ORT_UINT64] = {"UINT64", 8}, [ORT_BFLOAT16] = {"BF16", 2},
};

const char *type_name(int type) { return types[type].name; }
size_t type_size(int type) { return types[type].size; }

static bool known(const struct tensor *t, struct failure *f) {
	return (t->type >= 0 && (size_t)t->type < sizeof types / sizeof *types && types[t->type].name != NULL) ||
		fail(f, WIRE_UNSUPPORTED, "%.100s has elements of type %d, which no agent can send", t->name, t->type);
}

// place gives a tensor its place in its side.
static bool place(struct side *side, struct tensor *t, size_t bytes, struct failure *f) {
	t->bytes = bytes;
	t->at = side->bytes;
	side->bytes += (t->bytes + WIRE_ALIGN - 1) / WIRE_ALIGN * WIRE_ALIGN;
	return side->bytes <= WIRE_MAX_ARENA || fail(f, WIRE_UNSUPPORTED, "its tensors have more than %d bytes", WIRE_MAX_ARENA);
}

size_t tensor_count(const struct tensor *t) {
	size_t elements = 1;
	for (size_t i = 0; i < t->rank; i++) {
		size_t n = t->dims[i] > 0 ? (size_t)t->dims[i] : 0;
		elements = n > 0 && elements > WIRE_MAX_ARENA / n ? WIRE_MAX_ARENA + 1 : elements * n;
		if (n == 0) {
			return 0;
		}
	}
	return elements;
}

bool side_measure(struct side *side, struct tensor *t, struct failure *f) {
	if (!known(t, f)) {
		return false;
	}
	for (size_t i = 0; i < t->rank; i++) {
		if (t->dims[i] < 1) {
			return fail(f, WIRE_UNSUPPORTED, "%.100s has %lld as dimension %zu, and so no size that is known beforehand", t->name, (long long)t->dims[i], i);
		}
	}
	size_t elements = tensor_count(t);
	if (elements > WIRE_MAX_ARENA / types[t->type].size) {
		return fail(f, WIRE_UNSUPPORTED, "%.100s has more than %d bytes", t->name, WIRE_MAX_ARENA);
	}
	return place(side, t, elements * types[t->type].size, f);
}

bool side_make_room(struct side *side, struct tensor *t, const struct wanted_output *want, struct failure *f) {
	if (t->open == 0) {
		return side_measure(side, t, f);
	}
	if (!known(t, f)) {
		return false;
	}
	size_t size = types[t->type].size, had = tensor_count(t), most = want != NULL ? want->most : 0;
	if (most > 0 && had > most) {
		return fail(f, WIRE_TOO_LARGE, "%.100s had %zu elements when the model was tried out, and may have %zu", t->name, had, most);
	}
	if (most == 0) {
		most = had > ROOM / size ? had : ROOM / size;
	}
	if (most > WIRE_MAX_ARENA / size) {
		return fail(f, WIRE_UNSUPPORTED, "%.100s may have more than %d bytes", t->name, WIRE_MAX_ARENA);
	}
	for (size_t i = 0; i < t->rank; i++) {
		t->dims[i] = t->open >> i & 1 ? -1 : t->dims[i];
	}
	return place(side, t, most * size, f);
}

#define _GNU_SOURCE
#include "model.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALL(function, ...) called(lib, lib->api->function(__VA_ARGS__), #function, f)

// The types that the agent knows too, by ONNX Runtime's number.
static const struct {
	const char *name;
	size_t size;
} types[] = {
	[ORT_FLOAT] = {"FP32", 4}, [ORT_UINT8] = {"UINT8", 1}, [ORT_INT8] = {"INT8", 1}, [ORT_UINT16] = {"UINT16", 2}, [ORT_INT16] = {"INT16", 2},
	[ORT_INT32] = {"INT32", 4}, [ORT_INT64] = {"INT64", 8}, [ORT_BOOL] = {"BOOL", 1}, [ORT_FLOAT16] = {"FP16", 2}, [ORT_DOUBLE] = {"FP64", 8},
	[ORT_UINT32] = {"UINT32", 4}, [ORT_UINT64] = {"UINT64", 8}, [ORT_BFLOAT16] = {"BF16", 2},
};

// measure works out how many bytes the tensor has, and where in its side it lies.
static bool measure(struct side *side, struct tensor *t, struct failure *f) {
	if (t->type < 0 || (size_t)t->type >= sizeof types / sizeof *types || types[t->type].name == NULL) {
		return fail(f, WIRE_UNSUPPORTED, "%.100s has elements of type %d, which no agent can send", t->name, t->type);
	}
	size_t elements = 1;
	for (size_t i = 0; i < t->rank; i++) {
		if (t->dims[i] < 1 || t->dims[i] > WIRE_MAX_ARENA || elements > WIRE_MAX_ARENA / (size_t)t->dims[i]) {
			return fail(f, WIRE_UNSUPPORTED, "%.100s has %lld as dimension %zu, and so no size that is known beforehand", t->name, (long long)t->dims[i], i);
		}
		elements *= (size_t)t->dims[i];
	}
	t->bytes = elements * types[t->type].size;
	t->at = side->bytes;
	side->bytes += (t->bytes + WIRE_ALIGN - 1) / WIRE_ALIGN * WIRE_ALIGN;
	return side->bytes <= WIRE_MAX_ARENA || fail(f, WIRE_UNSUPPORTED, "its tensors have more than %d bytes", WIRE_MAX_ARENA);
}

// shape reads type and dimensions.
static bool shape(const struct library *lib, ort_shape_info info, struct tensor *t, struct failure *f) {
	if (!CALL(GetTensorElementType, info, &t->type) || !CALL(GetDimensionsCount, info, &t->rank)) {
		return false;
	}
	if (t->rank > WIRE_MAX_DIMS) {
		return fail(f, WIRE_UNSUPPORTED, "%.100s has %zu dimensions, more than %d", t->name, t->rank, WIRE_MAX_DIMS);
	}
	return CALL(GetDimensions, info, t->dims, t->rank);
}

// name takes the library's copy of a tensor's name.
static bool name(const struct library *lib, char *theirs, struct tensor *t, struct failure *f) {
	bool ok = *theirs != 0 && strlen(theirs) <= WIRE_MAX_NAME;
	if (ok) {
		snprintf(t->name, sizeof t->name, "%s", theirs);
	} else {
		fail(f, WIRE_UNSUPPORTED, "a tensor has no name, or one of more than %d bytes", WIRE_MAX_NAME);
	}
	struct failure unheard = {0};
	called(lib, lib->api->AllocatorFree(lib->allocator, theirs), "AllocatorFree", &unheard); // it never fails
	return ok;
}

// close_shape gives what the file leaves open of an input the dimensions that were
// asked for, or a batch of one.
static bool close_shape(struct tensor *t, const struct load_request *r, struct failure *f) {
	const struct wanted_shape *want = NULL;
	for (size_t i = 0; i < r->shape_count; i++) {
		if (strcmp(r->shapes[i].name, t->name) == 0) {
			want = &r->shapes[i];
		}
	}
	if (want != NULL && want->rank != t->rank && !(t->rank == 0 && want->rank == 1 && want->dims[0] == 1)) {
		return fail(f, WIRE_LAYOUT, "%.100s has %zu dimensions in the file and %zu in the manifest", t->name, t->rank, want->rank);
	}
	t->sample = want != NULL ? want->sample : 0;
	for (size_t i = 0; i < t->rank; i++) {
		if (want != NULL && t->dims[i] > 0 && t->dims[i] != want->dims[i]) {
			return fail(f, WIRE_LAYOUT, "dimension %zu of %.100s is %lld in the file and %u in the manifest", i, t->name, (long long)t->dims[i], want->dims[i]);
		}
		if (t->dims[i] <= 0 && want != NULL) {
			t->dims[i] = want->dims[i];
		} else if (t->dims[i] <= 0 && i == 0) {
			t->dims[i] = 1;
		} else if (t->dims[i] <= 0) {
			return fail(f, WIRE_UNSUPPORTED, "the file leaves dimension %zu of %.100s open; give inputs with a shape in the manifest", i, t->name);
		}
	}
	return true;
}

// describe reads what the library says of one tensor.
static bool describe(const struct model *m, size_t i, bool output, struct tensor *t, struct failure *f) {
	const struct library *lib = m->lib;
	char *theirs = NULL;
	bool ok = output ? CALL(SessionGetOutputName, m->session, i, lib->allocator, &theirs) : CALL(SessionGetInputName, m->session, i, lib->allocator, &theirs);
	if (!ok || theirs == NULL || !name(lib, theirs, t, f)) {
		return false;
	}
	ort_type_info info = NULL;
	int kind = 0;
	ort_shape_info inner = NULL;
	ok = (output ? CALL(SessionGetOutputTypeInfo, m->session, i, &info) : CALL(SessionGetInputTypeInfo, m->session, i, &info)) &&
		CALL(GetOnnxTypeFromTypeInfo, info, &kind);
	if (ok && kind != ORT_TENSOR) {
		ok = fail(f, WIRE_UNSUPPORTED, "%.100s is no tensor", t->name);
	}
	ok = ok && CALL(CastTypeInfoToTensorInfo, info, &inner) && shape(lib, inner, t, f);
	if (info != NULL) {
		lib->api->ReleaseTypeInfo(info);
	}
	return ok;
}

static bool describe_side(struct model *m, struct side *side, bool output, const struct load_request *r, struct failure *f) {
	const struct library *lib = m->lib;
	size_t count = 0;
	if (!(output ? CALL(SessionGetOutputCount, m->session, &count) : CALL(SessionGetInputCount, m->session, &count))) {
		return false;
	}
	if (count == 0 || count > MAX_SIDE) {
		return fail(f, WIRE_UNSUPPORTED, "the model has %zu %s, want 1 to %d", count, output ? "outputs" : "inputs", MAX_SIDE);
	}
	for (size_t i = 0; i < count; i++) {
		struct tensor *t = &side->tensors[i];
		if (!describe(m, i, output, t, f) || (!output && (!close_shape(t, r, f) || !measure(side, t, f)))) {
			return false;
		}
		side->names[i] = t->name;
	}
	side->count = count;
	return true;
}

// values makes the library's view of the tensors of a side that begin at base.
static bool values(const struct library *lib, const struct side *side, char *base, ort_value *all, struct failure *f) {
	for (size_t i = 0; i < side->count; i++) {
		const struct tensor *t = &side->tensors[i];
		if (!CALL(CreateTensorWithDataAsOrtValue, lib->memory, base + t->at, t->bytes, t->dims, t->rank, t->type, &all[i])) {
			return false;
		}
	}
	return true;
}

static void release(const struct library *lib, ort_value *all, size_t count) {
	for (size_t i = 0; i < count; i++) {
		if (all[i] != NULL) {
			lib->api->ReleaseValue(all[i]);
		}
	}
}

// run runs the model on the inputs at in. Its outputs go to out, or to values of the
// library's own, which all_out then holds, where that is NULL.
static bool run(const struct model *m, char *in, char *out, ort_value *all_out, struct failure *f) {
	const struct library *lib = m->lib;
	ort_value all_in[MAX_SIDE] = {0};
	bool ok = values(lib, &m->in, in, all_in, f) && (out == NULL || values(lib, &m->out, out, all_out, f)) &&
		CALL(Run, m->session, NULL, m->in.names, all_in, m->in.count, m->out.names, m->out.count, all_out);
	release(lib, all_in, m->in.count);
	return ok;
}

// EACH writes v to the elements of a tensor, if they have the type.
#define EACH(number, type, least, most)                                                                   \
	case number:                                                                                      \
		for (size_t i = 0; i < t->bytes / sizeof(type); i++) {                                    \
			((type *)(void *)at)[i] = v >= least && v <= most ? (type)v : 0;                  \
		}                                                                                         \
		break

// fill makes each element of an input what it is to be when the model is tried out.
// What its type cannot be is zero.
static void fill(const struct tensor *t, char *at) {
	double v = t->sample;
	switch (t->type) {
		EACH(ORT_FLOAT, float, -FLT_MAX, FLT_MAX);
		EACH(ORT_DOUBLE, double, -DBL_MAX, DBL_MAX);
		EACH(ORT_BOOL, uint8_t, 0, 1);
		EACH(ORT_UINT8, uint8_t, 0, UINT8_MAX);
		EACH(ORT_INT8, int8_t, INT8_MIN, INT8_MAX);
		EACH(ORT_UINT16, uint16_t, 0, UINT16_MAX);
		EACH(ORT_INT16, int16_t, INT16_MIN, INT16_MAX);
		EACH(ORT_UINT32, uint32_t, 0, UINT32_MAX);
		EACH(ORT_INT32, int32_t, INT32_MIN, INT32_MAX);
		EACH(ORT_UINT64, uint64_t, 0, 0x1p63);
		EACH(ORT_INT64, int64_t, -0x1p62, 0x1p62);
	}
}

// try runs the model on zeros or samples, and takes the shapes of what comes out.
static bool try(struct model *m, struct failure *f) {
	const struct library *lib = m->lib;
	char *zeros = aligned_alloc(WIRE_ALIGN, m->in.bytes);
	if (zeros == NULL) {
		return fail(f, WIRE_MEMORY, "no memory");
	}
	memset(zeros, 0, m->in.bytes);
	for (size_t i = 0; i < m->in.count; i++) {
		if (m->in.tensors[i].sample != 0) {
			fill(&m->in.tensors[i], zeros + m->in.tensors[i].at);
		}
	}
	ort_value all[MAX_SIDE] = {0};
	bool ok = run(m, zeros, NULL, all, f);
	for (size_t i = 0; ok && i < m->out.count; i++) {
		struct tensor *t = &m->out.tensors[i];
		ort_shape_info info = NULL;
		int is_tensor = 0;
		ok = (CALL(IsTensor, all[i], &is_tensor) && is_tensor != 0) || fail(f, WIRE_UNSUPPORTED, "%.100s is no tensor", t->name);
		ok = ok && CALL(GetTensorTypeAndShape, all[i], &info) && shape(lib, info, t, f) && measure(&m->out, t, f);
		if (info != NULL) {
			lib->api->ReleaseTensorTypeAndShapeInfo(info);
		}
	}
	release(lib, all, m->out.count);
	free(zeros);
	return ok;
}

// open_session makes the session. Threads that spin while they wait for work would
// take the processor from the agent.
static bool open_session(struct model *m, int threads, const void *file, size_t size, struct failure *f) {
	const struct library *lib = m->lib;
	ort_options options = NULL;
	bool ok = CALL(CreateSessionOptions, &options) && CALL(SetSessionGraphOptimizationLevel, options, ORT_OPTIMIZE_ALL) &&
		CALL(SetIntraOpNumThreads, options, threads) && CALL(SetInterOpNumThreads, options, 1) &&
		CALL(AddSessionConfigEntry, options, "session.intra_op.allow_spinning", "0") && CALL(CreateSessionFromArray, lib->env, file, size, options, &m->session);
	if (options != NULL) {
		lib->api->ReleaseSessionOptions(options);
	}
	return ok;
}

static void *infer(void *arg) {
	struct model *m = arg;
	for (;;) {
		struct job j = queue_take(&m->queue);
		struct failure f = {0};
		ort_value out[MAX_SIDE] = {0};
		j.begun = now_ns();
		bool ok = run(m, m->place.arena + j.request.a, m->place.arena + j.request.b, out, &f);
		release(m->lib, out, m->out.count);
		place_finish(&m->place, &j, ok ? NULL : &f, false);
	}
	return NULL;
}

// start makes the thread, unless an earlier model of that number did.
static void start(struct model *m, uint32_t depth) {
	place_init(&m->place, depth, m->in.bytes, m->out.bytes, &m->queue);
	if (m->started) {
		return;
	}
	m->started = true;
	queue_init(&m->queue);
	pthread_t thread;
	int err = pthread_create(&thread, NULL, infer, m);
	if (err != 0) {
		fprintf(stderr, "no thread for a model: %s\n", strerror(err));
		_exit(1); // without it there is no use in going on
	}
	pthread_detach(thread);
}

bool model_load(struct model *m, const struct library *lib, int threads, const void *file, size_t size, const struct load_request *r, struct failure *f) {
	m->lib = lib;
	memset(&m->in, 0, sizeof m->in);
	memset(&m->out, 0, sizeof m->out);
	if (open_session(m, threads, file, size, f) && describe_side(m, &m->in, false, r, f) && describe_side(m, &m->out, true, r, f) && try(m, f)) {
		start(m, r->depth);
		return true;
	}
	if (m->session != NULL) {
		lib->api->ReleaseSession(m->session);
		m->session = NULL;
	}
	return false;
}

bool model_unload(struct model *m, struct failure *f) {
	if (!place_leave(&m->place, f)) {
		return false;
	}
	m->lib->api->ReleaseSession(m->session);
	m->session = NULL;
	return true;
}

static void describe_tensor(const struct tensor *t, struct text *out) {
	text_format(out, "{\"name\":");
	text_string(out, t->name);
	text_format(out, ",\"type\":\"%s\",\"bytes\":%zu,\"scale\":1,\"shape\":[", types[t->type].name, t->bytes);
	for (size_t i = 0; i < t->rank; i++) {
		text_format(out, "%s%lld", i > 0 ? "," : "", (long long)t->dims[i]);
	}
	text_format(out, t->rank == 0 ? "1]}" : "]}");
}

void model_describe(const struct model *m, struct text *t, double ms) {
	const struct side *sides[] = {&m->in, &m->out};
	text_begin(t);
	for (size_t s = 0; s < 2; s++) {
		text_format(t, s == 0 ? "{\"inputs\":[" : "],\"outputs\":[");
		for (size_t i = 0; i < sides[s]->count; i++) {
			text_format(t, i > 0 ? "," : "");
			describe_tensor(&sides[s]->tensors[i], t);
		}
	}
	text_format(t, "],\"ms\":%.3f}", ms);
}

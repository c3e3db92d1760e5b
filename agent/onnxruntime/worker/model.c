#define _GNU_SOURCE
#include "model.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALL(function, ...) called(lib, lib->api->function(__VA_ARGS__), #function, f)

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
		if (!describe(m, i, output, t, f) || (!output && (!close_shape(t, r, f) || !side_measure(side, t, f)))) {
			return false;
		}
		for (size_t d = 0; output && d < t->rank; d++) {
			t->loose |= (uint32_t)(t->dims[d] < 1) << d;
		}
		side->names[i] = t->name;
	}
	side->count = count;
	return true;
}

// values makes the library's view of the tensors of a side that begin at base. Those
// whose sizes the data decide the library makes itself.
static bool values(const struct library *lib, const struct side *side, char *base, ort_value *all, struct failure *f) {
	for (size_t i = 0; i < side->count; i++) {
		const struct tensor *t = &side->tensors[i];
		if (t->open == 0 && !CALL(CreateTensorWithDataAsOrtValue, lib->memory, base + t->at, t->bytes, t->dims, t->rank, t->type, &all[i])) {
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
// library's own, which all_out then holds, where that is NULL, and those that are open
// always do.
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

// look reads what the library says of an output that it has made.
static bool look(const struct library *lib, ort_value v, struct tensor *t, struct failure *f) {
	ort_shape_info info = NULL;
	int is_tensor = 0;
	bool ok = (CALL(IsTensor, v, &is_tensor) && is_tensor != 0) || fail(f, WIRE_UNSUPPORTED, "%.100s is no tensor", t->name);
	ok = ok && CALL(GetTensorTypeAndShape, v, &info) && shape(lib, info, t, f);
	if (info != NULL) {
		lib->api->ReleaseTensorTypeAndShapeInfo(info);
	}
	return ok;
}

static const struct wanted_output *wanted(const struct load_request *r, const struct tensor *t) {
	for (size_t i = 0; i < r->output_count; i++) {
		if (strcmp(r->outputs[i].name, t->name) == 0) {
			return &r->outputs[i];
		}
	}
	return NULL;
}

// vary makes the elements of inputs that have no sample numbers from 0 to 1.
static void vary(const struct side *in, char *at) {
	for (size_t i = 0; i < in->count; i++) {
		const struct tensor *t = &in->tensors[i];
		float *v = (float *)(void *)(at + t->at);
		for (size_t n = 0; t->type == ORT_FLOAT && t->sample == 0 && n < t->bytes / sizeof *v; n++) {
			v[n] = (float)(n * 7 % 64) / 64;
		}
	}
}

// compare finds the dimensions that other inputs change. That the model cannot run on
// those says nothing about it.
static bool compare(struct model *m, char *in, const struct load_request *r, struct failure *f) {
	const struct library *lib = m->lib;
	struct failure unheard = {0};
	ort_value all[MAX_SIDE] = {0};
	vary(&m->in, in);
	bool ran = run(m, in, NULL, all, &unheard), ok = true;
	for (size_t i = 0; ran && ok && i < m->out.count; i++) {
		struct tensor *t = &m->out.tensors[i], other = {0};
		memcpy(other.name, t->name, sizeof other.name);
		ok = look(lib, all[i], &other, f) &&
			(other.rank == t->rank || fail(f, WIRE_UNSUPPORTED, "%.100s has %zu dimensions or %zu, as the data decide", t->name, t->rank, other.rank));
		for (size_t d = 0; ok && d < t->rank; d++) {
			if (other.dims[d] != t->dims[d] && wanted(r, t) == NULL) {
				t->open |= t->loose & (uint32_t)1 << d;
				t->dims[d] = other.dims[d] > t->dims[d] ? other.dims[d] : t->dims[d];
			}
		}
	}
	release(lib, all, m->out.count);
	return ok;
}

// learn takes the shapes of what came out, and finds which of their dimensions the data
// decide: those that the manifest leaves open, and those that are 0 on what a model is
// tried out with. Of outputs that the manifest does not have doubt remains where the
// file says nothing.
static bool learn(struct model *m, const ort_value *all, const struct load_request *r, bool *doubt, struct failure *f) {
	for (size_t i = 0; i < m->out.count; i++) {
		struct tensor *t = &m->out.tensors[i];
		const struct wanted_output *want = wanted(r, t);
		size_t rank = t->rank;
		if (!look(m->lib, all[i], t, f)) {
			return false;
		}
		if (rank != t->rank) { // the file has no shape at all
			t->loose = ((uint32_t)1 << t->rank) - 1;
		}
		t->open = want != NULL ? want->open & t->loose : 0;
		for (size_t d = 0; d < t->rank; d++) {
			t->open |= (uint32_t)(t->dims[d] == 0) << d;
		}
		*doubt |= want == NULL && t->loose != 0;
	}
	return true;
}

// try runs the model on zeros or samples, and takes the shapes of what comes out; once
// more on other numbers where that leaves a doubt.
static bool try(struct model *m, const struct load_request *r, struct failure *f) {
	char *in = aligned_alloc(WIRE_ALIGN, m->in.bytes);
	if (in == NULL) {
		return fail(f, WIRE_MEMORY, "no memory");
	}
	memset(in, 0, m->in.bytes);
	for (size_t i = 0; i < m->in.count; i++) {
		if (m->in.tensors[i].sample != 0) {
			fill(&m->in.tensors[i], in + m->in.tensors[i].at);
		}
	}
	ort_value all[MAX_SIDE] = {0};
	bool doubt = false, ok = run(m, in, NULL, all, f) && learn(m, all, r, &doubt, f);
	release(m->lib, all, m->out.count);
	ok = ok && (!doubt || compare(m, in, r, f));
	free(in);
	for (size_t i = 0; ok && i < m->out.count; i++) {
		struct tensor *t = &m->out.tensors[i];
		ok = side_make_room(&m->out, t, wanted(r, t), f);
		m->open |= t->open != 0;
		m->guessed |= t->open == 0 && t->loose != 0;
	}
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

// hold reports whether an output is as it was told of, and has room.
static bool hold(const struct tensor *want, const struct tensor *have, struct failure *f) {
	if (have->type != want->type || have->rank != want->rank) {
		return fail(f, WIRE_LAYOUT, "%.100s has another type, or other dimensions, than when the model was tried out", want->name);
	}
	for (size_t d = 0; d < want->rank; d++) {
		if (want->dims[d] >= 0 && want->dims[d] != have->dims[d]) {
			return fail(f, WIRE_LAYOUT, "dimension %zu of %.100s is %lld, and was %lld when the model was tried out", d, want->name, (long long)have->dims[d],
				(long long)want->dims[d]);
		}
	}
	size_t room = want->bytes / type_size(want->type), elements = tensor_count(have);
	return elements <= room || fail(f, WIRE_TOO_LARGE, "%.100s has %zu elements, and there is room for %zu", want->name, elements, room);
}

// explain looks whether a run failed since an output is not as it was told of, and says
// so then: that the library's own tensors take it, and what they are.
static void explain(const struct model *m, char *in, struct failure *f) {
	struct failure other = {0};
	ort_value all[MAX_SIDE] = {0};
	bool ok = run(m, in, NULL, all, &other);
	for (size_t i = 0; ok && i < m->out.count; i++) {
		struct tensor have = m->out.tensors[i];
		if (!look(m->lib, all[i], &have, &other) || !hold(&m->out.tensors[i], &have, &other)) {
			*f = other;
			ok = false;
		}
	}
	release(m->lib, all, m->out.count);
}

static void tell_dims(const struct tensor *t, struct text *out) {
	text_format(out, "[");
	for (size_t i = 0; i < t->rank; i++) {
		text_format(out, "%s%lld", i > 0 ? "," : "", (long long)t->dims[i]);
	}
	text_format(out, t->rank == 0 ? "1]" : "]");
}

// gather puts those outputs that the library has made where the agent reads them, and
// tells the shapes of all.
static bool gather(const struct model *m, const ort_value *all, char *out, struct text *told, struct failure *f) {
	const struct library *lib = m->lib;
	text_begin(told);
	text_format(told, "{\"shapes\":[");
	for (size_t i = 0; i < m->out.count; i++) {
		const struct tensor *t = &m->out.tensors[i];
		struct tensor have = *t;
		if (t->open != 0) {
			void *data = NULL;
			if (!look(lib, all[i], &have, f) || !hold(t, &have, f) || !CALL(GetTensorMutableData, all[i], &data)) {
				return false;
			}
			size_t bytes = tensor_count(&have) * type_size(t->type);
			if (bytes > 0) {
				memcpy(out + t->at, data, bytes);
			}
		}
		text_format(told, i > 0 ? "," : "");
		tell_dims(&have, told);
	}
	text_format(told, "]}");
	return true;
}

static void *infer(void *arg) {
	struct model *m = arg;
	for (;;) {
		struct job j = queue_take(&m->queue);
		struct failure f = {0};
		struct text told; // 64 KiB of stack
		ort_value all[MAX_SIDE] = {0};
		j.begun = now_ns();
		j.told = m->open ? &told : NULL;
		char *in = m->place.arena + j.request.a, *out = m->place.arena + j.request.b;
		bool ran = run(m, in, out, all, &f), ok = ran && (!m->open || gather(m, all, out, &told, &f));
		release(m->lib, all, m->out.count);
		if (!ran && m->guessed) {
			explain(m, in, &f);
		}
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
	m->open = m->guessed = false;
	if (open_session(m, threads, file, size, f) && describe_side(m, &m->in, false, r, f) && describe_side(m, &m->out, true, r, f) && try(m, r, f)) {
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
	text_format(out, ",\"type\":\"%s\",\"bytes\":%zu,\"scale\":1,\"shape\":", type_name(t->type), t->bytes);
	tell_dims(t, out);
	text_format(out, "}");
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

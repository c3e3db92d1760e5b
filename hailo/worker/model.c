#define _GNU_SOURCE
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// No structure of the library that the worker gives room to is larger, in any
// release, and none comes close.
#define ROOM 1024

// called notes which function of the library failed, and with what.
static bool called(const struct library *lib, hrt_status status, const char *name, struct failure *f) {
	if (status == 0) {
		return true;
	}
	fail(f, status, "%s", "");
	f->call = name;
	f->text = library_text(lib, status);
	return false;
}
#define CALL(function, ...) called(lib, lib->function(__VA_ARGS__), "hailo_" #function, f)

static uint32_t u32(const char *at) {
	uint32_t v;
	memcpy(&v, at, sizeof v);
	return v;
}

static float f32(const char *at) {
	float v;
	memcpy(&v, at, sizeof v);
	return v;
}

// describe reads one hailo_vstream_info_t.
static void describe(const struct hrt_layout *layout, const char *info, struct tensor *t) {
	memcpy(t->name, info + HRT_INFO_NAME, WIRE_MAX_NAME);
	t->name[WIRE_MAX_NAME] = 0;
	t->order = (int32_t)u32(info + HRT_INFO_ORDER);
	for (size_t i = 0; i < 3; i++) {
		t->shape[i] = u32(info + HRT_INFO_SHAPE + 4 * i);
	}
	t->zero = f32(info + layout->info_quant);
	t->scale = f32(info + layout->info_quant + 4);
	t->nms = t->order == layout->order_nms;
}

static bool close_to(float a, float b) { return fabsf(a - b) <= 1e-5f * fmaxf(fabsf(a), fabsf(b)); }

// agrees holds what the library says of one tensor against the model's file.
static bool agrees(const struct fact *fact, const struct tensor *t, struct failure *f) {
	size_t dimensions = fact->nms ? 2 : 3;
	if (fact->nms != t->nms || memcmp(fact->shape, t->shape, dimensions * sizeof *t->shape) != 0) {
		return fail(f, WIRE_LAYOUT, "%.100s is %ux%ux%u in the file and %ux%ux%u, order %d, to the library", fact->name, fact->shape[0], fact->shape[1],
			fact->shape[2], t->shape[0], t->shape[1], t->shape[2], t->order);
	}
	if (fact->quantized && (!close_to(fact->scale, t->scale) || !close_to(fact->zero, t->zero))) {
		return fail(f, WIRE_LAYOUT, "%.100s has scale %g and zero %g in the file, and %g and %g to the library", fact->name, (double)fact->scale,
			(double)fact->zero, (double)t->scale, (double)t->zero);
	}
	return true;
}

// check_facts has the library describe the model and compares: so a release
// whose structures are not as the table says is found before it does harm.
static bool check_facts(const struct library *lib, hrt_handle hef, const struct load_request *r, struct failure *f) {
	if (r->fact_count == 0 || lib->hef_get_all_vstream_infos == NULL) {
		return !lib->guessed || fail(f, WIRE_UNKNOWN, "this release is newer than the table, and there is nothing to check its layout with");
	}
	size_t count = WIRE_MAX_TENSORS;
	char *infos = calloc(count, ROOM);
	if (infos == NULL) {
		return fail(f, WIRE_MEMORY, "no memory");
	}
	bool ok = CALL(hef_get_all_vstream_infos, hef, NULL, infos, &count);
	for (size_t i = 0; ok && i < r->fact_count; i++) {
		const struct fact *fact = &r->facts[i];
		bool found = false;
		for (size_t j = 0; ok && !found && j < count && j < WIRE_MAX_TENSORS; j++) {
			const char *info = infos + j * lib->layout->info_size;
			struct tensor t = {0};
			describe(lib->layout, info, &t);
			found = strcmp(t.name, fact->name) == 0 && (u32(info + HRT_INFO_DIRECTION) != 0) == fact->output;
			ok = !found || agrees(fact, &t, f);
		}
		if (ok && !found) {
			ok = fail(f, WIRE_LAYOUT, "the library does not know %.100s, which is in the file", fact->name);
		}
	}
	free(infos);
	return ok;
}

// schedule hands the wishes on; a library without these functions has none to grant.
static bool schedule(const struct library *lib, hrt_handle group, const struct load_request *r, struct failure *f) {
	return (r->scheduler_timeout_ms == 0 || lib->set_scheduler_timeout == NULL || CALL(set_scheduler_timeout, group, r->scheduler_timeout_ms, NULL)) &&
		(r->scheduler_threshold == 0 || lib->set_scheduler_threshold == NULL || CALL(set_scheduler_threshold, group, r->scheduler_threshold, NULL)) &&
		(r->scheduler_priority == 0 || lib->set_scheduler_priority == NULL || CALL(set_scheduler_priority, group, (uint8_t)r->scheduler_priority, NULL));
}

// measure fills the tensors of one side from its streams.
static bool measure(struct model *m, struct side *side, bool output, struct failure *f) {
	const struct library *lib = m->lib;
	for (size_t i = 0; i < side->count; i++) {
		struct tensor *t = &side->tensors[i];
		char info[ROOM] = {0};
		bool ok = output ? CALL(get_output_vstream_info, side->streams[i], info) && CALL(get_output_vstream_frame_size, side->streams[i], &t->bytes)
				 : CALL(get_input_vstream_info, side->streams[i], info) && CALL(get_input_vstream_frame_size, side->streams[i], &t->bytes);
		if (!ok) {
			return false;
		}
		describe(m->lib->layout, info, t);
		if (t->bytes == 0 || t->bytes > WIRE_MAX_ARENA) {
			return fail(f, WIRE_LAYOUT, "%.100s has frames of %zu bytes", t->name, t->bytes);
		}
		if (t->nms && t->bytes != 4 * (size_t)t->shape[0] * (1 + 5 * (size_t)t->shape[1])) {
			return fail(f, WIRE_LAYOUT, "%.100s has frames of %zu bytes, and boxes for %u classes of %u", t->name, t->bytes, t->shape[0], t->shape[1]);
		}
		t->at = side->bytes;
		side->bytes += (t->bytes + WIRE_ALIGN - 1) / WIRE_ALIGN * WIRE_ALIGN;
	}
	return true;
}

// open_streams makes the streams of one side, with room for depth frames in each.
static bool open_streams(struct model *m, hrt_handle group, struct side *side, bool output, const struct load_request *r, struct failure *f) {
	const struct library *lib = m->lib;
	char *params = calloc(MAX_SIDE, ROOM);
	if (params == NULL) {
		return fail(f, WIRE_MEMORY, "no memory");
	}
	side->count = MAX_SIDE;
	bool ok = output ? CALL(make_output_vstream_params, group, true, r->raw ? HRT_FORMAT_AUTO : HRT_FORMAT_FLOAT32, params, &side->count)
			 : CALL(make_input_vstream_params, group, true, HRT_FORMAT_AUTO, params, &side->count);
	if (ok && (side->count == 0 || side->count > MAX_SIDE)) {
		side->count = 0;
		ok = fail(f, WIRE_LAYOUT, "the model has no %s, or more than %d", output ? "outputs" : "inputs", MAX_SIDE);
	}
	for (size_t i = 0; ok && i < side->count; i++) {
		char *p = params + i * HRT_PARAMS_SIZE;
		memcpy(p + HRT_PARAMS_TIMEOUT, &r->timeout_ms, 4);
		memcpy(p + HRT_PARAMS_QUEUE, &(uint32_t){r->depth < 2 ? 2 : r->depth}, 4);
	}
	ok = ok && (output ? CALL(create_output_vstreams, group, params, side->count, side->streams)
			   : CALL(create_input_vstreams, group, params, side->count, side->streams));
	free(params);
	return ok && measure(m, side, output, f);
}

static void *write_frames(void *arg);
static void *read_frames(void *arg);

// start makes the threads, which last as long as the process. Without them
// there is no use in going on.
static void start(struct model *m, uint32_t depth) {
	place_init(&m->place, depth, m->in.bytes, m->out.bytes, &m->to_write);
	struct queue *queues[] = {&m->to_write, &m->to_read};
	void *(*const loops[])(void *) = {write_frames, read_frames};
	for (size_t i = 0; i < 2; i++) {
		pthread_t thread;
		queue_init(queues[i]);
		int err = pthread_create(&thread, NULL, loops[i], m);
		if (err != 0) {
			fprintf(stderr, "no thread for a model: %s\n", strerror(err));
			_exit(1);
		}
		pthread_detach(thread);
	}
}

bool model_load(struct model *m, const struct library *lib, hrt_handle vdevice, const void *hef, size_t size, const struct load_request *r, struct failure *f) {
	m->lib = lib;
	hrt_handle handle = NULL, groups[8] = {0};
	size_t count = 8;
	bool ok = CALL(create_hef_buffer, &handle, hef, size) && check_facts(lib, handle, r, f) &&
		CALL(configure_vdevice, vdevice, handle, NULL, groups, &count) && schedule(lib, groups[0], r, f) &&
		open_streams(m, groups[0], &m->in, false, r, f) && open_streams(m, groups[0], &m->out, true, r, f);
	if (ok) {
		start(m, r->depth);
	}
	return ok;
}

// describe_tensor writes one tensor. Its type follows from how many bytes an
// element has: what the library says is the type on the chip.
static void describe_tensor(const struct tensor *t, struct text *out) {
	size_t elements = (size_t)t->shape[0] * t->shape[1] * t->shape[2];
	text_format(out, "{\"name\":");
	text_string(out, t->name);
	text_format(out, ",\"bytes\":%zu,\"scale\":%.9g,\"zero\":%.9g", t->bytes, isfinite(t->scale) ? (double)t->scale : 0, isfinite(t->zero) ? (double)t->zero : 0);
	if (t->nms) {
		text_format(out, ",\"type\":\"FP32\",\"shape\":[%zu],\"layout\":\"nms_by_class\",\"classes\":%u,\"per_class\":%u}", t->bytes / 4, t->shape[0], t->shape[1]);
		return;
	}
	if (t->order == HRT_ORDER_NHWC || t->order == HRT_ORDER_NC) {
		text_format(out, ",\"layout\":\"%s\"", t->order == HRT_ORDER_NC ? "nc" : "nhwc");
	} else {
		text_format(out, ",\"layout\":\"other %d\"", t->order);
	}
	static const char *const types[] = {[1] = "UINT8", [2] = "UINT16", [4] = "FP32"};
	size_t each = elements > 0 && t->bytes % elements == 0 ? t->bytes / elements : 0;
	if (each > 4 || types[each] == NULL) { // no image and no vector: bytes, as they are
		text_format(out, ",\"type\":\"UINT8\",\"shape\":[%zu]}", t->bytes);
	} else if (t->order == HRT_ORDER_NC && t->shape[0] == 1 && t->shape[1] == 1) {
		text_format(out, ",\"type\":\"%s\",\"shape\":[%u]}", types[each], t->shape[2]);
	} else {
		text_format(out, ",\"type\":\"%s\",\"shape\":[%u,%u,%u]}", types[each], t->shape[0], t->shape[1], t->shape[2]);
	}
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

// move gives the library the inputs of one frame, or reads its outputs.
static bool move(const struct model *m, const struct side *side, uint64_t offset, bool output, struct failure *f) {
	const struct library *lib = m->lib;
	char *base = m->place.arena + offset;
	for (size_t i = 0; i < side->count; i++) {
		const struct tensor *t = &side->tensors[i];
		bool ok = output ? CALL(vstream_read_raw_buffer, side->streams[i], base + t->at, t->bytes)
				 : CALL(vstream_write_raw_buffer, side->streams[i], base + t->at, t->bytes);
		if (!ok) {
			return false;
		}
	}
	return true;
}

// write_frames and read_frames: while one frame is on the chip the next ones go
// in. After a failure frames may be left in between, so nothing is begun any more.
static void *write_frames(void *arg) {
	struct model *m = arg;
	for (;;) {
		struct job j = queue_take(&m->to_write);
		struct failure f = {0};
		j.begun = now_ns();
		if (atomic_load(&m->place.broken)) {
			fail(&f, WIRE_BROKEN, "an inference failed before");
			place_finish(&m->place, &j, &f, true);
		} else if (move(m, &m->in, j.request.a, false, &f)) {
			queue_put(&m->to_read, &j);
		} else {
			place_finish(&m->place, &j, &f, true);
		}
	}
	return NULL;
}

static void *read_frames(void *arg) {
	struct model *m = arg;
	for (;;) {
		struct job j = queue_take(&m->to_read);
		struct failure f = {0};
		if (atomic_load(&m->place.broken)) {
			fail(&f, WIRE_BROKEN, "an inference failed before");
			place_finish(&m->place, &j, &f, true);
		} else {
			place_finish(&m->place, &j, move(m, &m->out, j.request.b, true, &f) ? NULL : &f, true);
		}
	}
	return NULL;
}

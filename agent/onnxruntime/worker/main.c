// prime-spark-ort-worker runs ONNX models with ONNX Runtime for the agent, in a process
// of its own: the library may crash or hang without harm to the agent, and what takes
// it over reaches neither network nor files.
//
// The agent starts it with a socket as descriptor 3 and speaks the protocol of
// package shared/worker/frame. Besides the two threads of serve.h each model has one, and those
// that ONNX Runtime makes for it.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "model.h"
#include "serve.h"
#include "unit.h"

static struct library lib;
static bool confined;
static int threads = 1;
static struct model models[WIRE_MAX_MODELS];
static _Atomic(bool) loaded[WIRE_MAX_MODELS];

static void hello(struct text *t) {
	text_format(t, "\"worker\":\"onnxruntime\",\"fault\":%d,\"confined\":%s,\"path\":", lib.fault, confined ? "true" : "false");
	text_string(t, lib.path);
	text_format(t, ",\"why\":");
	text_string(t, lib.why);
	text_format(t, ",\"library\":");
	text_string(t, lib.version);
}

static bool load_file(struct task *task, unsigned n, const struct load_request *r, struct failure *f) {
	struct stat info;
	if (task->fd < 0 || fstat(task->fd, &info) != 0 || info.st_size <= 0) {
		return fail(f, WIRE_MALFORMED, "no model file came along, or an empty one");
	}
	size_t size = (size_t)info.st_size;
	void *file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, task->fd, 0);
	if (file == MAP_FAILED) {
		return fail(f, WIRE_MEMORY, "the model file cannot be mapped: %s", strerror(errno));
	}
	bool ok = model_load(&models[n], &lib, threads, file, size, r, f);
	munmap(file, size);
	return ok;
}

static bool answer_load(struct task *task, struct failure *f) {
	static struct load_request r;
	uint64_t begin = now_ns();
	if (!request_parse(task->payload, &r, f)) {
		return false;
	}
	if (lib.fault != WIRE_OK) {
		return fail(f, lib.fault, "%.200s", lib.why);
	}
	unsigned n = 0;
	while (n < WIRE_MAX_MODELS && atomic_load(&loaded[n])) {
		n++;
	}
	if (n == WIRE_MAX_MODELS) {
		return fail(f, WIRE_FULL, "%d models are loaded", WIRE_MAX_MODELS);
	}
	if (!load_file(task, n, &r, f)) {
		return false;
	}
	atomic_store(&loaded[n], true);
	static struct text t; // of the slow thread alone
	model_describe(&models[n], &t, (double)(now_ns() - begin) / 1e6);
	task->request.model = n;
	reply_text(&task->request, &t);
	return true;
}

static struct place *place(uint32_t model) { return model < WIRE_MAX_MODELS && atomic_load(&loaded[model]) ? &models[model].place : NULL; }

static unsigned count(void) {
	unsigned all = 0;
	for (size_t i = 0; i < WIRE_MAX_MODELS; i++) {
		all += atomic_load(&loaded[i]);
	}
	return all;
}

// bye waits a while for what is under way, and ends the process without the library's
// own clean-up at exit, for which there is nobody to wait.
static _Noreturn void bye(const struct wire_header *request) {
	for (int i = 0; i < 200 && atomic_load(&frames_inflight) > 0; i++) {
		poll(NULL, 0, 10);
	}
	reply(request, 0, 0);
	_exit(0);
}

static bool perform(struct task *task, struct failure *f) {
	const struct wire_header *request = &task->request;
	switch (request->type) {
	case WIRE_LOAD:
		return answer_load(task, f);
	case WIRE_MAP:
		if (task->fd < 0 || place(request->model) == NULL) {
			return fail(f, WIRE_MALFORMED, "no such model, or no arena came along");
		}
		if (!place_map(place(request->model), task->fd, request->a, f)) {
			return false;
		}
		break;
	case WIRE_UNLOAD:
		if (place(request->model) == NULL) {
			return fail(f, WIRE_MALFORMED, "there is no model %u", request->model);
		}
		if (!model_unload(&models[request->model], f)) {
			return false;
		}
		atomic_store(&loaded[request->model], false);
		break;
	case WIRE_BYE:
		bye(request);
	case WIRE_DEVICE:
	case WIRE_SENSE:
		return fail(f, WIRE_UNSUPPORTED, "there is no accelerator");
	default:
		return fail(f, WIRE_MALFORMED, "type %u is unknown", request->type);
	}
	reply(request, 0, 0);
	return true;
}

static const char usage[] = "usage: prime-spark-ort-worker --library FILE [--threads N] [--memory MIB]\n"
			    "       prime-spark-ort-worker --unit: systemd starts it, and the agent tells the rest\n"
			    "The agent starts this program, with a socket as descriptor 3. It runs ONNX models\n"
			    "with ONNX Runtime, whose library is FILE.\n";

// number reads what follows a flag, from 1 to most.
static bool number(const char *text, long most, long *value) {
	char *end;
	errno = 0;
	*value = strtol(text, &end, 10);
	return errno == 0 && *end == 0 && end != text && *value >= 1 && *value <= most;
}

int main(int argc, char **argv) {
	if (argc == 2 && strcmp(argv[1], "--unit") == 0 && !unit_start(&argc, &argv)) {
		return 1;
	}
	const char *path = NULL;
	long n = 1, memory = 0;
	for (int i = 1; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--library") == 0 && *next != 0) {
			path = next, i++;
		} else if (strcmp(argv[i], "--threads") == 0 && number(next, 256, &n)) {
			threads = (int)n, i++;
		} else if (strcmp(argv[i], "--memory") == 0 && number(next, 1 << 20, &memory)) {
			i++;
		} else {
			int asked = strcmp(argv[i], "--help") == 0;
			fputs(usage, asked ? stdout : stderr);
			return asked ? 0 : 2;
		}
	}
	if (!worker_start()) {
		fputs(usage, stderr);
		return 2;
	}
	if (memory > 0 && !limit_memory((uint64_t)memory << 20)) {
		fprintf(stderr, "[error] its memory cannot be bounded: %s\n", strerror(errno));
	}
	confined = confine();
	library_open(&lib, path);
	serve(&(struct engine){.hello = hello, .perform = perform, .place = place, .models = count});
}

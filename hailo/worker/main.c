// prime-spark-hailo-worker runs models on a Hailo accelerator for the agent, in
// a process of its own: libhailort may crash or hang without harm to the agent.
//
// The agent starts it with a socket as descriptor 3 and speaks the protocol of
// package shared/worker/frame. Besides the two threads of serve.h each model has two of
// its own.
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"
#include "serve.h"
#include "unit.h"

static struct library lib;
static bool shared; // through hailort.service, with other programs
static hrt_handle vdevice, device;
static struct hrt_device_id device_id;
static struct model models[WIRE_MAX_MODELS];
static atomic_uint model_count;

static void hello(struct text *t) {
	text_format(t, "\"worker\":\"hailo-c\",\"fault\":%d,\"path\":", lib.fault);
	text_string(t, lib.path);
	text_format(t, ",\"why\":");
	text_string(t, lib.why);
	if (lib.version.major != 0) {
		text_format(t, ",\"library\":\"%u.%u.%u\"", lib.version.major, lib.version.minor, lib.version.revision);
	}
	if (lib.layout != NULL) {
		text_format(t, ",\"layout\":\"%s%s\"", lib.layout->name, lib.guessed ? "?" : "");
	}
	text_format(t, ",\"missing\":[");
	for (size_t i = 0; i < lib.missing_count; i++) {
		text_format(t, i > 0 ? "," : "");
		text_string(t, lib.missing[i]);
	}
	text_format(t, "]");
}

static bool called(hrt_status status, const char *name, struct failure *f) {
	if (status == 0) {
		return true;
	}
	fail(f, status, "%s", "");
	f->call = name;
	f->text = library_text(&lib, status);
	return false;
}
#define CALL(function, ...) called(lib.function(__VA_ARGS__), "hailo_" #function, f)

// open_device finds the accelerator and opens it for questions; *count is how
// many there are. It may be 0, and then the device is not open.
static bool open_device(size_t *count, struct failure *f) {
	if (lib.missing_count > 0 || lib.fault == WIRE_NO_LIBRARY) {
		return fail(f, WIRE_NO_LIBRARY, "%.200s", lib.why);
	}
	struct hrt_device_id ids[64] = {0};
	*count = 32;
	if (!CALL(scan_devices, NULL, ids, count)) {
		return false;
	}
	if (*count == 0 || device != NULL) {
		return true;
	}
	device_id = ids[0];
	device_id.id[sizeof device_id.id - 1] = 0;
	if (!CALL(create_device_by_id, &device_id, &device)) {
		device = NULL;
		return false;
	}
	return true;
}

// counted adds a string that stands after its length in an identity.
static void counted(struct text *t, const char *key, const char *identity, size_t length_at, size_t at, size_t max) {
	char s[64] = {0};
	size_t length = (unsigned char)identity[length_at];
	memcpy(s, identity + at, length < max ? length : max);
	text_format(t, ",\"%s\":", key);
	text_string(t, s);
}

static bool answer_device(const struct wire_header *request, struct failure *f) {
	size_t count = 0;
	if (!open_device(&count, f)) {
		return false;
	}
	static struct text t; // of the slow thread alone, as all below
	text_begin(&t);
	if (device == NULL) {
		text_format(&t, "{\"devices\":0,\"arch\":0}");
		reply_text(request, &t);
		return true;
	}
	char identity[1024] = {0};
	if (!CALL(identify, device, identity)) {
		return false;
	}
	uint32_t firmware[3];
	int32_t arch;
	memcpy(firmware, identity + HRT_IDENTITY_FIRMWARE, sizeof firmware);
	memcpy(&arch, identity + HRT_IDENTITY_ARCH, sizeof arch);
	text_format(&t, "{\"devices\":%zu,\"arch\":%d,\"firmware\":\"%u.%u.%u\",\"id\":", count, arch, firmware[0], firmware[1], firmware[2]);
	text_string(&t, device_id.id);
	counted(&t, "board", identity, HRT_IDENTITY_BOARD_LENGTH, HRT_IDENTITY_BOARD, 32);
	counted(&t, "serial", identity, HRT_IDENTITY_SERIAL_LENGTH, HRT_IDENTITY_SERIAL, 16);
	counted(&t, "part", identity, HRT_IDENTITY_PART_LENGTH, HRT_IDENTITY_PART, 16);
	text_format(&t, "}");
	reply_text(request, &t);
	return true;
}

static bool answer_sense(const struct wire_header *request, struct failure *f) {
	size_t count = 0;
	if (device == NULL && !open_device(&count, f)) {
		return false;
	}
	if (device == NULL) {
		return fail(f, WIRE_NO_DEVICE, "no Hailo device");
	}
	static hrt_status power_status; // a board without a meter is asked once
	struct hrt_temperature heat = {0};
	float watts = 0;
	bool protection = false;
	hrt_status heat_status = lib.get_chip_temperature(device, &heat);
	if (heat_status == 0 && !(isfinite(heat.ts0) && isfinite(heat.ts1))) {
		heat_status = WIRE_UNSUPPORTED;
	}
	if (power_status == 0) {
		power_status = lib.power_measurement ? lib.power_measurement(device, HRT_AUTO, HRT_AUTO, &watts) : WIRE_UNSUPPORTED;
	}
	hrt_status protection_status = lib.get_throttling_state ? lib.get_throttling_state(device, &protection) : WIRE_UNSUPPORTED;
	static struct text t;
	text_begin(&t);
	text_format(&t, "{\"temperature_status\":%d,\"power_status\":%d", heat_status, power_status);
	if (heat_status == 0) {
		text_format(&t, ",\"temperature_c\":[%.2f,%.2f]", (double)heat.ts0, (double)heat.ts1);
	}
	if (power_status == 0 && isfinite(watts)) {
		text_format(&t, ",\"power_w\":%.3f", (double)watts);
	}
	if (protection_status == 0) {
		text_format(&t, ",\"protection\":%s", protection ? "true" : "false");
	}
	text_format(&t, "}");
	reply_text(request, &t);
	return true;
}

// open_vdevice takes the accelerator, for all models.
static bool open_vdevice(struct failure *f) {
	if (lib.fault != WIRE_OK) {
		return fail(f, lib.fault, "%.200s", lib.why);
	}
	if (vdevice != NULL) {
		return true;
	}
	union {
		struct hrt_vdevice_params params;
		char room[1024];
	} p = {.room = {0}};
	if (!CALL(init_vdevice_params, &p.params)) {
		return false;
	}
	p.params.scheduling_algorithm = HRT_SCHEDULER_ROUND_ROBIN;
	if (shared) {
		p.params.multi_process_service = true;
		p.params.group_id = "SHARED";
	}
	if (!CALL(create_vdevice, &p.params, &vdevice)) {
		vdevice = NULL;
		return false;
	}
	return true;
}

static bool answer_load(struct task *task, struct failure *f) {
	static struct load_request r;
	uint64_t begin = now_ns();
	struct stat info;
	unsigned n = atomic_load(&model_count);
	if (!request_parse(task->payload, &r, f)) {
		return false;
	}
	if (task->fd < 0 || fstat(task->fd, &info) != 0 || info.st_size <= 0) {
		return fail(f, WIRE_MALFORMED, "no model file came along, or an empty one");
	}
	if (n == WIRE_MAX_MODELS) {
		return fail(f, WIRE_FULL, "%d models are loaded", WIRE_MAX_MODELS);
	}
	if (!open_vdevice(f)) {
		return false;
	}
	// It stays mapped: some releases read the weights later.
	size_t size = (size_t)info.st_size;
	void *hef = mmap(NULL, size, PROT_READ, MAP_PRIVATE, task->fd, 0);
	if (hef == MAP_FAILED) {
		return fail(f, WIRE_MEMORY, "the model file cannot be mapped: %s", strerror(errno));
	}
	struct model *m = &models[n];
	memset(m, 0, sizeof *m);
	if (!model_load(m, &lib, vdevice, hef, size, &r, f)) {
		return false;
	}
	atomic_store(&model_count, n + 1);
	static struct text t;
	model_describe(m, &t, (double)(now_ns() - begin) / 1e6);
	task->request.model = n;
	reply_text(&task->request, &t);
	return true;
}

// bye frees the accelerator if nothing is under way, and ends the process without
// the library's own clean-up at exit, which is known to crash.
static _Noreturn void bye(const struct wire_header *request) {
	for (int i = 0; i < 200 && atomic_load(&frames_inflight) > 0; i++) {
		poll(NULL, 0, 10);
	}
	if (atomic_load(&frames_inflight) == 0) {
		for (unsigned i = 0; i < atomic_load(&model_count); i++) {
			struct model *m = &models[i];
			if (lib.release_input_vstreams != NULL) {
				lib.release_input_vstreams(m->in.streams, m->in.count);
			}
			if (lib.release_output_vstreams != NULL) {
				lib.release_output_vstreams(m->out.streams, m->out.count);
			}
		}
		if (vdevice != NULL) {
			lib.release_vdevice(vdevice);
		}
	}
	reply(request, 0, 0);
	_exit(0);
}

static bool perform(struct task *task, struct failure *f) {
	switch (task->request.type) {
	case WIRE_DEVICE:
		return answer_device(&task->request, f);
	case WIRE_SENSE:
		return answer_sense(&task->request, f);
	case WIRE_LOAD:
		return answer_load(task, f);
	case WIRE_MAP:
		if (task->fd < 0 || task->request.model >= atomic_load(&model_count)) {
			return fail(f, WIRE_MALFORMED, "no such model, or no arena came along");
		}
		if (!place_map(&models[task->request.model].place, task->fd, task->request.a, f)) {
			return false;
		}
		reply(&task->request, 0, 0);
		return true;
	case WIRE_UNLOAD:
		return fail(f, WIRE_UNSUPPORTED, "HailoRT frees models only with the whole device; start a new worker");
	case WIRE_BYE:
		bye(&task->request);
	default:
		return fail(f, WIRE_MALFORMED, "type %u is unknown", task->request.type);
	}
}

static struct place *place(uint32_t model) { return model < atomic_load(&model_count) ? &models[model].place : NULL; }

static unsigned loaded(void) { return atomic_load(&model_count); }

static const char usage[] = "usage: prime-spark-hailo-worker [--library FILE] [--shared]\n"
			    "       prime-spark-hailo-worker --unit: systemd starts it, and the agent tells the rest\n"
			    "The agent starts this program, with a socket as descriptor 3. It runs models on a\n"
			    "Hailo accelerator.\n";

int main(int argc, char **argv) {
	if (argc == 2 && strcmp(argv[1], "--unit") == 0 && !unit_start(&argc, &argv)) {
		return 1;
	}
	const char *path = NULL;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--shared") == 0) {
			shared = true;
		} else if (strcmp(argv[i], "--library") == 0 && i + 1 < argc) {
			path = argv[++i];
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
	library_open(&lib, path);
	serve(&(struct engine){.hello = hello, .perform = perform, .place = place, .models = loaded});
}

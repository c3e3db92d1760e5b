// The functions of libhailort that the worker calls. The environment says how
// the double behaves:
//
//	HAILORT_DOUBLE_VERSION   4.23.0: also which of the two layouts its structures have
//	HAILORT_DOUBLE_LAYOUT    old, new or other (neither): in spite of the version
//	HAILORT_DOUBLE_DEVICES   1: how many accelerators there are
//	HAILORT_DOUBLE_ARCH      1: Hailo-8; 2: Hailo-8L
//	HAILORT_DOUBLE_TEMP      46.5: °C
//	HAILORT_DOUBLE_POWER     watts; without it the board has no meter
//	HAILORT_DOUBLE_FPS       frames a second of the chip, for all networks together; 0: at once
//	HAILORT_DOUBLE_LATENCY   ms that a frame takes at least
//	HAILORT_DOUBLE_SERVICE   down: hailort.service does not answer
//	HAILORT_DOUBLE_GARBAGE   1: outputs are noise
//	HAILORT_DOUBLE_MONITOR   directory: where it tells that it is busy, with HAILO_MONITOR=1
//	HAILORT_DOUBLE_LEAK      bytes that are lost with each frame
//	HAILORT_DOUBLE_FAULT     FUNCTION=WHAT[@N],...: after N good calls WHAT happens: a
//	                         status, hang, abort, segv
//
// Compiled with -DDOUBLE_LACKS_IDENTIFY it has no hailo_identify.
#define _GNU_SOURCE
#include "double.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

// The statuses that it gives by itself, by hailort.h.
enum { INVALID_ARGUMENT = 2, TIMEOUT = 4, INSUFFICIENT_BUFFER = 5, INVALID_HEF = 26, OUT_OF_DEVICES = 74, RPC_FAILED = 77, INTERRUPTED = 88, HEF_CORRUPTED = 91, INCOMPATIBLE = 93 };

static const char *env(const char *name, const char *otherwise) {
	const char *v = getenv(name);
	return v != NULL && *v != 0 ? v : otherwise;
}

static double number(const char *name, double otherwise) {
	const char *v = env(name, NULL);
	return v != NULL ? strtod(v, NULL) : otherwise;
}

static void version(uint32_t v[3]) {
	v[0] = v[1] = v[2] = 0;
	if (sscanf(env("HAILORT_DOUBLE_VERSION", "4.23.0"), "%u.%u.%u", &v[0], &v[1], &v[2]) < 2) {
		v[0] = 0;
	}
}

static bool since(uint32_t minor) {
	uint32_t v[3];
	version(v);
	return v[0] > 4 || v[1] >= minor;
}

// The faults, taken apart once; the calls are counted.
static struct {
	char function[64], what[16];
	long after, calls;
} faults[16];
static size_t fault_count;
static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fault_once = PTHREAD_ONCE_INIT;

static void read_faults(void) {
	char *all = strdup(env("HAILORT_DOUBLE_FAULT", "")), *rest = all;
	for (char *one; rest != NULL && fault_count < 16 && (one = strsep(&rest, ",")) != NULL;) {
		if (sscanf(one, "%63[^=]=%15[^@]@%ld", faults[fault_count].function, faults[fault_count].what, &faults[fault_count].after) >= 2) {
			fault_count++;
		}
	}
	free(all);
}

static status fault(const char *function) {
	pthread_once(&fault_once, read_faults);
	for (size_t i = 0; i < fault_count; i++) {
		if (strcmp(faults[i].function, function) != 0) {
			continue;
		}
		pthread_mutex_lock(&fault_lock);
		bool now = faults[i].calls++ >= faults[i].after;
		pthread_mutex_unlock(&fault_lock);
		if (!now) {
			return 0;
		}
		if (strcmp(faults[i].what, "hang") == 0) {
			for (;;) {
				pause();
			}
		}
		if (strcmp(faults[i].what, "abort") == 0) {
			fputs("[HailoRT] [critical] a simulated abort\n", stderr);
			abort();
		}
		if (strcmp(faults[i].what, "segv") == 0) {
			volatile int *volatile nowhere = NULL; // a signal that is sent would be blocked
			*nowhere = 1;
		}
		fprintf(stderr, "[HailoRT] [error] %s: a simulated fault\n", function);
		return (status)strtol(faults[i].what, NULL, 10);
	}
	return 0;
}

#define FAULT() \
	do { \
		status s_ = fault(__func__); \
		if (s_ != 0) { \
			return s_; \
		} \
	} while (0)

// A stream, and the network that it belongs to.
struct network;
struct stream {
	struct network *network;
	size_t index;
	bool output, raw;
	uint32_t timeout_ms;
	uint64_t frames; // given or taken so far
};

#define MAX_QUEUE 64

// A frame on its way: its inputs, and when the chip has done it.
struct frame {
	uint8_t *inputs[MAX_LAYERS];
	double done; // s; 0 while inputs are missing
	size_t written, read;
};

struct network {
	struct hef hef;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct frame frames[MAX_QUEUE];
	uint32_t queue;
	uint64_t finished; // frames of which all was read
	struct stream in[MAX_LAYERS], out[MAX_LAYERS];
};

struct device {
	int unused;
};

static pthread_mutex_t chip_lock = PTHREAD_MUTEX_INITIALIZER;
static double chip_free; // when the chip has done all that it was given

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// schedule says when the chip will have done a frame that is given to it now:
// one after the other at its rate, and none faster than its latency.
static double schedule(void) {
	double rate = number("HAILORT_DOUBLE_FPS", 0), latency = number("HAILORT_DOUBLE_LATENCY", 0) / 1e3, t = now();
	if (rate <= 0) {
		return t + latency;
	}
	pthread_mutex_lock(&chip_lock);
	chip_free = (chip_free > t ? chip_free : t) + 1 / rate;
	double done = chip_free > t + latency ? chip_free : t + latency;
	pthread_mutex_unlock(&chip_lock);
	return done;
}

// wait_until sleeps; like the driver, it does not go on after a signal.
static status wait_until(double at) {
	struct timespec t = {.tv_sec = (time_t)at, .tv_nsec = (long)((at - (double)(time_t)at) * 1e9)};
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR ? INTERRUPTED : 0;
}

API status hailo_get_library_version(uint32_t *v) {
	FAULT();
	version(v);
	return 0;
}

API const char *hailo_get_status_message(status s) {
	switch (s) {
	case TIMEOUT:
		return "HAILO_TIMEOUT";
	case OUT_OF_DEVICES:
		return "HAILO_OUT_OF_PHYSICAL_DEVICES";
	case 76:
		return "HAILO_INVALID_DRIVER_VERSION";
	case RPC_FAILED:
		return "HAILO_RPC_FAILED";
	case HEF_CORRUPTED:
		return "HAILO_HEF_FILE_CORRUPTED";
	default:
		return "HAILO_OTHER";
	}
}

API status hailo_scan_devices(void *unused, char (*ids)[32], size_t *count) {
	(void)unused;
	FAULT();
	size_t n = (size_t)number("HAILORT_DOUBLE_DEVICES", 1);
	if (n > *count) {
		return INSUFFICIENT_BUFFER;
	}
	for (size_t i = 0; i < n; i++) {
		snprintf(ids[i], sizeof ids[i], "%04x:01:00.0", (unsigned)(i + 1) & 0xffff);
	}
	*count = n;
	return 0;
}

API status hailo_create_device_by_id(const char *id, struct device **d) {
	(void)id;
	FAULT();
	*d = calloc(1, sizeof **d);
	return 0;
}

#ifndef DOUBLE_LACKS_IDENTIFY
API status hailo_identify(struct device *d, struct identity *i) {
	(void)d;
	FAULT();
	memset(i, 0, sizeof *i);
	version(i->firmware);
	i->board_length = (uint8_t)snprintf(i->board, sizeof i->board, "Hailo-8 (simulated)");
	i->arch = (int32_t)number("HAILORT_DOUBLE_ARCH", 1);
	i->serial_length = (uint8_t)snprintf(i->serial, sizeof i->serial, "HLDDOUBLE000001");
	i->part_length = (uint8_t)snprintf(i->part, sizeof i->part, "HM218B1C2FA");
	return 0;
}
#endif

API status hailo_get_chip_temperature(struct device *d, float *t) {
	(void)d;
	FAULT();
	t[0] = (float)number("HAILORT_DOUBLE_TEMP", 46.5);
	t[1] = t[0] + .75f;
	return 0;
}

API status hailo_get_throttling_state(struct device *d, bool *active) {
	(void)d;
	FAULT();
	*active = true;
	return 0;
}

API status hailo_power_measurement(struct device *d, int32_t dvm, int32_t kind, float *watts) {
	(void)d;
	FAULT();
	if (dvm != INT32_MAX || kind != INT32_MAX) {
		return INVALID_ARGUMENT;
	}
	*watts = (float)number("HAILORT_DOUBLE_POWER", 0);
	return *watts > 0 ? 0 : 7;
}

struct vdevice_params {
	uint32_t count;
	void *ids;
	int32_t scheduling;
	const char *group;
	bool service;
};

API status hailo_init_vdevice_params(struct vdevice_params *p) {
	FAULT();
	*p = (struct vdevice_params){.count = 1, .scheduling = 1, .group = "UNIQUE"};
	return 0;
}

// monitor tells once how busy the chip is, where the library does so each second.
static void monitor(void) {
	const char *dir = env("HAILORT_DOUBLE_MONITOR", NULL);
	if (dir == NULL || strcmp(env("HAILO_MONITOR", ""), "1") != 0) {
		return;
	}
	char path[512], pid[16];
	int n = snprintf(pid, sizeof pid, "%ld", (long)getpid());
	snprintf(path, sizeof path, "%s/%sdouble", dir, pid);
	FILE *f = fopen(path, "wx");
	if (f != NULL) {
		double busy = 62.5; // %, field 2 of a device, which is field 4
		fprintf(f, "\n%c%s\"\t\x11", n, pid);
		fwrite(&busy, sizeof busy, 1, f);
		fclose(f);
	}
}

API status hailo_create_vdevice(struct vdevice_params *p, struct device **v) {
	FAULT();
	if (p->count != 1 || p->ids != NULL || p->scheduling != 1 || strcmp(p->group, p->service ? "SHARED" : "UNIQUE") != 0) {
		return INVALID_ARGUMENT;
	}
	if (p->service && strcmp(env("HAILORT_DOUBLE_SERVICE", ""), "down") == 0) {
		return RPC_FAILED;
	}
	if (number("HAILORT_DOUBLE_DEVICES", 1) < 1) {
		return OUT_OF_DEVICES;
	}
	*v = calloc(1, sizeof **v);
	monitor();
	return 0;
}

API status hailo_release_vdevice(struct device *v) {
	FAULT();
	free(v);
	return 0;
}

API status hailo_create_hef_buffer(struct hef **h, const uint8_t *data, size_t size) {
	FAULT();
	*h = calloc(1, sizeof **h);
	if (hef_parse(data, size, *h)) {
		return 0;
	}
	free(*h);
	*h = NULL;
	return since(21) ? HEF_CORRUPTED : INVALID_HEF;
}

API status hailo_release_hef(struct hef *h) {
	free(h);
	return 0;
}

API status hailo_configure_vdevice(struct device *v, struct hef *h, void *params, struct network **networks, size_t *count) {
	FAULT();
	if (v == NULL || params != NULL || *count < 1) {
		return INVALID_ARGUMENT;
	}
	struct network *n = calloc(1, sizeof *n);
	n->hef = *h;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->changed, NULL);
	networks[0] = n;
	*count = 1;
	return 0;
}

API status hailo_set_scheduler_timeout(struct network *n, uint32_t ms, const char *name) {
	FAULT();
	return n != NULL && ms > 0 && name == NULL ? 0 : INVALID_ARGUMENT;
}

API status hailo_set_scheduler_threshold(struct network *n, uint32_t frames, const char *name) {
	FAULT();
	return n != NULL && frames > 0 && name == NULL ? 0 : INVALID_ARGUMENT;
}

API status hailo_set_scheduler_priority(struct network *n, uint8_t priority, const char *name) {
	FAULT();
	return n != NULL && priority < 32 && name == NULL ? 0 : INVALID_ARGUMENT;
}

static status make_params(const struct network *n, bool output, int32_t type, struct params_by_name *p, size_t *count) {
	size_t have = output ? output_count(&n->hef) : n->hef.ins;
	if (have > *count) {
		*count = have;
		return INSUFFICIENT_BUFFER;
	}
	for (size_t i = 0; i < have; i++) {
		p[i] = (struct params_by_name){.format = {.type = type}, .timeout_ms = 10000, .queue_size = 2};
		const char *name = !output ? n->hef.in[i].name : n->hef.nms_name[0] != 0 ? n->hef.nms_name : n->hef.out[i].name;
		snprintf(p[i].name, sizeof p[i].name, "%s", name);
	}
	*count = have;
	return 0;
}

API status hailo_make_input_vstream_params(struct network *n, bool unused, int32_t type, struct params_by_name *p, size_t *count) {
	(void)unused;
	FAULT();
	return make_params(n, false, type, p, count);
}

API status hailo_make_output_vstream_params(struct network *n, bool unused, int32_t type, struct params_by_name *p, size_t *count) {
	(void)unused;
	FAULT();
	return make_params(n, true, type, p, count);
}

static status create_streams(struct network *n, bool output, const struct params_by_name *p, size_t count, struct stream **to) {
	struct stream *streams = output ? n->out : n->in;
	for (size_t i = 0; i < count; i++) {
		if (p[i].timeout_ms == 0 || p[i].queue_size == 0 || p[i].queue_size > MAX_QUEUE) {
			return INVALID_ARGUMENT;
		}
		streams[i] = (struct stream){
			.network = n, .index = i, .output = output, .timeout_ms = p[i].timeout_ms,
			.raw = n->hef.nms_name[0] == 0 && p[i].format.type != 3,
		};
		to[i] = &streams[i];
		n->queue = p[i].queue_size;
	}
	for (size_t f = 0; !output && f < n->queue; f++) {
		for (size_t i = 0; i < count; i++) {
			n->frames[f].inputs[i] = malloc(input_bytes(&n->hef, i));
		}
	}
	return 0;
}

API status hailo_create_input_vstreams(struct network *n, const struct params_by_name *p, size_t count, struct stream **to) {
	FAULT();
	return create_streams(n, false, p, count, to);
}

API status hailo_create_output_vstreams(struct network *n, const struct params_by_name *p, size_t count, struct stream **to) {
	FAULT();
	return create_streams(n, true, p, count, to);
}

API status hailo_release_input_vstreams(struct stream *const *s, size_t count) {
	(void)s, (void)count;
	FAULT();
	return 0;
}

API status hailo_release_output_vstreams(struct stream *const *s, size_t count) {
	(void)s, (void)count;
	FAULT();
	return 0;
}

API status hailo_get_input_vstream_frame_size(struct stream *s, size_t *size) {
	FAULT();
	*size = input_bytes(&s->network->hef, s->index);
	return 0;
}

API status hailo_get_output_vstream_frame_size(struct stream *s, size_t *size) {
	FAULT();
	*size = output_bytes(&s->network->hef, s->index, s->raw);
	return 0;
}

// describe writes a hailo_vstream_info_t in the layout of the version and returns its size.
static size_t describe(const struct hef *h, bool output, size_t i, void *to) {
	const char *layout = env("HAILORT_DOUBLE_LAYOUT", since(20) ? "new" : "old");
	bool newer = strcmp(layout, "old") != 0, boxes = output && h->nms_name[0] != 0;
	const struct layer *l = output ? &h->out[i] : &h->in[i];
	struct info_new n = {.direction = output, .format = {.type = 1, .order = l->height == 1 && l->width == 1 ? 6 : 1}};
	snprintf(n.name, sizeof n.name, "%s", boxes ? h->nms_name : l->name);
	snprintf(n.network, sizeof n.network, "double/network");
	n.quant = (struct quantization){l->zero, l->scale, 0, 255};
	n.shape[0] = l->height, n.shape[1] = l->width, n.shape[2] = l->features;
	if (boxes) {
		n.format = (struct format){.type = 3, .order = newer ? 22 : 9};
		n.quant = (struct quantization){0};
		n.shape[0] = h->classes, n.shape[1] = h->per_class, n.shape[2] = newer ? h->classes * h->per_class : 0;
	}
	if (newer) {
		memcpy(to, &n, sizeof n);
		return sizeof n + (strcmp(layout, "other") == 0 ? 4 : 0);
	}
	struct info_old o = {.direction = n.direction, .format = n.format, .quant = n.quant};
	memcpy(o.name, n.name, sizeof o.name);
	memcpy(o.network, n.network, sizeof o.network);
	memcpy(o.shape, n.shape, sizeof o.shape);
	memcpy(to, &o, sizeof o);
	return sizeof o;
}

API status hailo_get_input_vstream_info(struct stream *s, void *info) {
	FAULT();
	describe(&s->network->hef, false, s->index, info);
	return 0;
}

API status hailo_get_output_vstream_info(struct stream *s, void *info) {
	FAULT();
	describe(&s->network->hef, true, s->index, info);
	return 0;
}

API status hailo_hef_get_all_vstream_infos(struct hef *h, const char *name, char *infos, size_t *count) {
	FAULT();
	size_t have = h->ins + output_count(h);
	if (name != NULL || have > *count) {
		return INVALID_ARGUMENT;
	}
	for (size_t i = 0; i < have; i++) {
		infos += describe(h, i >= h->ins, i >= h->ins ? i - h->ins : i, infos);
	}
	*count = have;
	return 0;
}

// wait_for waits until a frame has room, or is there, for at most the stream's
// timeout. The network's lock is held.
static bool wait_for(struct stream *s, bool (*ready)(const struct stream *)) {
	struct timespec end;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += s->timeout_ms / 1000;
	end.tv_nsec += (long)(s->timeout_ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	while (!ready(s)) {
		if (pthread_cond_timedwait(&s->network->changed, &s->network->lock, &end) == ETIMEDOUT) {
			return ready(s);
		}
	}
	return true;
}

static bool has_room(const struct stream *s) { return s->frames < s->network->finished + s->network->queue; }

static bool has_frame(const struct stream *s) {
	const struct network *n = s->network;
	return s->frames < n->finished + n->queue && n->frames[s->frames % n->queue].done > 0;
}

API status hailo_vstream_write_raw_buffer(struct stream *s, const void *from, size_t size) {
	FAULT();
	struct network *n = s->network;
	if (size != input_bytes(&n->hef, s->index)) {
		return INSUFFICIENT_BUFFER;
	}
	size_t leak = (size_t)number("HAILORT_DOUBLE_LEAK", 0);
	if (leak > 0) {
		void *volatile lost = malloc(leak);
		if (lost != NULL) {
			memset(lost, 1, leak);
		}
	}
	pthread_mutex_lock(&n->lock);
	bool ok = wait_for(s, has_room);
	if (ok) {
		struct frame *f = &n->frames[s->frames++ % n->queue];
		memcpy(f->inputs[s->index], from, size);
		if (++f->written == n->hef.ins) {
			f->done = schedule();
			pthread_cond_broadcast(&n->changed);
		}
	}
	pthread_mutex_unlock(&n->lock);
	return ok ? 0 : TIMEOUT;
}

API status hailo_vstream_read_raw_buffer(struct stream *s, void *to, size_t size) {
	FAULT();
	struct network *n = s->network;
	if (size != output_bytes(&n->hef, s->index, s->raw)) {
		return INSUFFICIENT_BUFFER;
	}
	pthread_mutex_lock(&n->lock);
	if (!wait_for(s, has_frame)) {
		pthread_mutex_unlock(&n->lock);
		return TIMEOUT;
	}
	struct frame *f = &n->frames[s->frames++ % n->queue];
	pthread_mutex_unlock(&n->lock); // the frame stays until all of it was read
	status result = wait_until(f->done);
	if (env("HAILORT_DOUBLE_GARBAGE", NULL) != NULL) {
		memset(to, 0xff, size);
	} else {
		compute(&n->hef, f->inputs, s->index, s->raw, to);
	}
	pthread_mutex_lock(&n->lock);
	if (++f->read == output_count(&n->hef)) {
		f->read = f->written = 0;
		f->done = 0;
		n->finished++;
		pthread_cond_broadcast(&n->changed);
	}
	pthread_mutex_unlock(&n->lock);
	return result;
}

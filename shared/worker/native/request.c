#define _GNU_SOURCE
#include "request.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// number reads a whole decimal number up to max, and moves *at behind it and the
// one space that may follow.
static bool number(char **at, uint32_t max, uint32_t *value) {
	char *end;
	if (**at < '0' || **at > '9') {
		return false;
	}
	errno = 0;
	unsigned long n = strtoul(*at, &end, 10);
	if (errno != 0 || n > max || (*end != 0 && *end != ' ')) {
		return false;
	}
	*value = (uint32_t)n;
	*at = end + (*end == ' ');
	return true;
}

static bool decimal(char **at, float *value) {
	char *end;
	*value = strtof(*at, &end);
	if (end == *at || *end != ' ' || !isfinite(*value)) {
		return false;
	}
	*at = end + 1;
	return true;
}

static bool parse_fact(char *at, struct load_request *r) {
	if (r->fact_count == WIRE_MAX_TENSORS) {
		return false;
	}
	struct fact *f = &r->facts[r->fact_count++];
	uint32_t output, nms, quantized;
	bool ok = number(&at, 1, &output) && number(&at, 1, &nms) && number(&at, 1, &quantized) && number(&at, WIRE_MAX_ARENA, &f->shape[0]) &&
		number(&at, WIRE_MAX_ARENA, &f->shape[1]) && number(&at, WIRE_MAX_ARENA, &f->shape[2]) && decimal(&at, &f->scale) && decimal(&at, &f->zero);
	if (!ok || *at == 0 || strlen(at) > WIRE_MAX_NAME) {
		return false;
	}
	f->output = output, f->nms = nms, f->quantized = quantized;
	f->name = at;
	return true;
}

// parse_shape reads "D,D,... NAME".
static bool parse_shape(char *at, struct load_request *r) {
	if (r->shape_count == WIRE_MAX_TENSORS) {
		return false;
	}
	struct wanted_shape *s = &r->shapes[r->shape_count++];
	char *name = strchr(at, ' ');
	if (name == NULL) {
		return false;
	}
	*name++ = 0;
	for (char *dim; (dim = strsep(&at, ",")) != NULL;) {
		if (s->rank == WIRE_MAX_DIMS || !number(&dim, WIRE_MAX_ARENA, &s->dims[s->rank]) || *dim != 0 || s->dims[s->rank++] == 0) {
			return false;
		}
	}
	s->name = name;
	return *name != 0 && strlen(name) <= WIRE_MAX_NAME;
}

// parse_sample reads what the elements of the last shape's input are to be.
static bool parse_sample(const char *at, struct load_request *r) {
	char *end;
	double v = strtod(at, &end);
	if (r->shape_count == 0 || end == at || *end != 0 || !isfinite(v)) {
		return false;
	}
	r->shapes[r->shape_count - 1].sample = v;
	return true;
}

// parse_output reads "MOST OPEN NAME".
static bool parse_output(char *at, struct load_request *r) {
	if (r->output_count == WIRE_MAX_TENSORS) {
		return false;
	}
	struct wanted_output *o = &r->outputs[r->output_count++];
	bool ok = number(&at, WIRE_MAX_ARENA, &o->most) && number(&at, (1u << WIRE_MAX_DIMS) - 1, &o->open);
	o->name = at;
	return ok && *at != 0 && strlen(at) <= WIRE_MAX_NAME;
}

static bool set(const char *key, char *value, struct load_request *r) {
	uint32_t n;
	if (strcmp(key, "name") == 0) {
		r->name = value;
		return *value != 0 && strlen(value) <= WIRE_MAX_NAME;
	}
	if (strcmp(key, "fact") == 0) {
		return parse_fact(value, r);
	}
	if (strcmp(key, "shape") == 0) {
		return parse_shape(value, r);
	}
	if (strcmp(key, "sample") == 0) {
		return parse_sample(value, r);
	}
	if (strcmp(key, "output") == 0) {
		return parse_output(value, r);
	}
	if (!number(&value, 3600000, &n) || *value != 0) {
		return false;
	}
	if (strcmp(key, "depth") == 0) {
		r->depth = n;
	} else if (strcmp(key, "timeout_ms") == 0) {
		r->timeout_ms = n;
	} else if (strcmp(key, "raw") == 0) {
		r->raw = n != 0;
	} else if (strcmp(key, "scheduler_timeout_ms") == 0) {
		r->scheduler_timeout_ms = n;
	} else if (strcmp(key, "scheduler_threshold") == 0) {
		r->scheduler_threshold = n;
	} else if (strcmp(key, "scheduler_priority") == 0) {
		r->scheduler_priority = n;
	} else {
		return false;
	}
	return true;
}

bool request_parse(char *payload, struct load_request *r, struct failure *f) {
	memset(r, 0, sizeof *r);
	char *rest = payload;
	for (char *line; (line = strsep(&rest, "\n")) != NULL && (*line != 0 || rest != NULL);) {
		char *value = strchr(line, ' ');
		if (value == NULL) {
			return fail(f, WIRE_MALFORMED, "\"%.60s\" is no key and value", line);
		}
		*value++ = 0;
		if (!set(line, value, r)) {
			return fail(f, WIRE_MALFORMED, "the value of %.40s is not understood: %.60s", line, value);
		}
	}
	if (r->name == NULL || r->depth < 1 || r->depth > WIRE_MAX_DEPTH || r->timeout_ms < 1 || r->scheduler_priority > 31) {
		return fail(f, WIRE_MALFORMED, "a name, a depth of 1 to %d and a timeout are needed", WIRE_MAX_DEPTH);
	}
	return true;
}

#include "double.h"

#include <string.h>

// A field of a protobuf message.
struct field {
	uint32_t number;
	uint64_t value;
	const uint8_t *bytes; // NULL of a number
	size_t size;
};

static const uint8_t *varint(const uint8_t *at, const uint8_t *end, uint64_t *value) {
	*value = 0;
	for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
		*value |= (uint64_t)(*at & 127) << shift;
		if ((*at++ & 128) == 0) {
			return at;
		}
	}
	return NULL;
}

// next reads a field and returns what is behind it, NULL for nonsense.
static const uint8_t *next(const uint8_t *at, const uint8_t *end, struct field *f) {
	uint64_t key, length;
	memset(f, 0, sizeof *f);
	if ((at = varint(at, end, &key)) == NULL) {
		return NULL;
	}
	f->number = (uint32_t)(key >> 3);
	switch (key & 7) {
	case 0:
		return varint(at, end, &f->value);
	case 1:
	case 5:
		f->size = (key & 7) == 1 ? 8 : 4;
		if ((size_t)(end - at) < f->size) {
			return NULL;
		}
		memcpy(&f->value, at, f->size);
		return at + f->size;
	case 2:
		at = varint(at, end, &length);
		if (at == NULL || length > (uint64_t)(end - at)) {
			return NULL;
		}
		f->bytes = at;
		f->size = (size_t)length;
		return at + length;
	default:
		return NULL;
	}
}

// EACH runs what follows for each field f of a message, which is a field itself.
#define EACH(f, message) \
	for (const uint8_t *at_##f = (message).bytes, *end_##f = at_##f ? at_##f + (message).size : NULL; \
		at_##f != NULL && at_##f < end_##f && (at_##f = next(at_##f, end_##f, &(f))) != NULL;)

static void copy_name(char to[128], struct field f) {
	memset(to, 0, 128);
	memcpy(to, f.bytes, f.size < 127 ? f.size : 127);
}

static float as_float(uint64_t value) {
	float v;
	uint32_t bits = (uint32_t)value;
	memcpy(&v, &bits, sizeof v);
	return v;
}

static struct layer read_layer(struct field info) {
	struct layer l = {0};
	struct field f, g;
	EACH(f, info) {
		if (f.number == 1 && f.bytes != NULL) {
			copy_name(l.name, f);
		} else if (f.number == 2) {
			EACH(g, f) {
				if (g.number == 1) {
					l.height = (uint32_t)g.value;
				} else if (g.number == 3) {
					l.width = (uint32_t)g.value;
				} else if (g.number == 5) {
					l.features = (uint32_t)g.value;
				}
			}
		} else if (f.number == 3) {
			EACH(g, f) {
				if (g.number == 1) {
					l.zero = as_float(g.value);
				} else if (g.number == 2) {
					l.scale = as_float(g.value);
				}
			}
		}
	}
	return l;
}

static void read_edge(struct hef *hef, struct field edge) {
	struct field f, g, info = {0};
	bool output = false, inside = false;
	EACH(f, edge) {
		if (f.number == 1) {
			output = f.value != 0;
		} else if (f.number == 3) {
			info = f;
		} else if (f.number == 5) {
			EACH(g, f) {
				inside = inside || (g.number == 3 && g.value != 0);
			}
		}
	}
	if (inside || info.bytes == NULL) {
		return;
	}
	if (output && hef->outs < MAX_LAYERS) {
		hef->out[hef->outs++] = read_layer(info);
	} else if (!output && hef->ins < MAX_LAYERS) {
		hef->in[hef->ins++] = read_layer(info);
	}
}

static void read_context(struct hef *hef, struct field context) {
	struct field f, g;
	EACH(f, context) {
		if (f.number == 3) {
			EACH(g, f) {
				if (g.number == 2) {
					read_edge(hef, g);
				}
			}
		}
	}
}

static void read_op(struct hef *hef, struct field op) {
	struct field f, g;
	char name[128] = "";
	EACH(f, op) {
		if (f.number == 1 && f.bytes != NULL) {
			copy_name(name, f);
		} else if (f.number == 4) {
			EACH(g, f) {
				if (g.number == 3) {
					read_context(hef, g);
				}
			}
		} else if (f.number == 5) {
			memcpy(hef->nms_name, name, sizeof name);
			EACH(g, f) {
				if (g.number == 3) {
					hef->per_class = (uint32_t)g.value;
				} else if (g.number == 4) {
					hef->classes = (uint32_t)g.value;
				}
			}
		}
	}
}

bool hef_parse(const uint8_t *data, size_t size, struct hef *hef) {
	static const size_t headers[] = {32, 28, 44, 56};
	memset(hef, 0, sizeof *hef);
	if (size < 56 || memcmp(data, "\1HEF\0\0\0", 7) != 0 || data[7] > 3) {
		return false;
	}
	size_t length = (size_t)data[8] << 24 | (size_t)data[9] << 16 | (size_t)data[10] << 8 | data[11];
	if (length > size - headers[data[7]]) {
		return false;
	}
	struct field f, g, all = {.bytes = data + headers[data[7]], .size = length};
	EACH(f, all) {
		if (f.number == 2) {
			EACH(g, f) {
				if (g.number == 8) {
					read_op(hef, g);
				}
			}
		}
	}
	bool ok = hef->ins > 0 && hef->outs > 0;
	for (size_t i = 0; i < hef->ins; i++) {
		ok = ok && input_bytes(hef, i) > 0 && input_bytes(hef, i) < (1u << 28);
	}
	return ok;
}

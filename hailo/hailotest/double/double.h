// A double of libhailort: the same C interface, and numbers that are really
// computed from the pixels, without a chip. What is in these structures was
// written down from the headers on its own, not taken from the worker's table,
// so that a fault of that table shows.
#ifndef DOUBLE_H
#define DOUBLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int32_t status;

struct format {
	int32_t type, order, flags;
};

struct quantization {
	float zero, scale, low, high;
};

// hailo_vstream_info_t before 4.20 and since.
struct info_old {
	char name[128], network[257];
	int32_t direction;
	struct format format;
	uint32_t shape[3];
	struct quantization quant;
};
struct info_new {
	char name[128], network[257];
	int32_t direction;
	struct format format;
	uint32_t shape[4];
	struct quantization quant;
};
_Static_assert(sizeof(struct info_old) == 432 && sizeof(struct info_new) == 436, "as in the headers");

struct params_by_name {
	char name[128];
	struct format format;
	uint32_t timeout_ms, queue_size;
	int32_t stream_flags, element_flags;
};
_Static_assert(sizeof(struct params_by_name) == 156, "as in the headers");

struct identity {
	uint32_t protocol, firmware[3], logger;
	uint8_t board_length;
	char board[32];
	bool release, extended;
	int32_t arch;
	uint8_t serial_length;
	char serial[16];
	uint8_t part_length;
	char part[16];
	uint8_t product_length;
	char product[42];
};
_Static_assert(sizeof(struct identity) == 140, "as in the headers");

// A layer of a HEF.
struct layer {
	char name[128];
	uint32_t height, width, features;
	float zero, scale;
};

#define MAX_LAYERS 32

struct hef {
	struct layer in[MAX_LAYERS], out[MAX_LAYERS];
	size_t ins, outs;
	char nms_name[128]; // "" if boxes are not chosen
	uint32_t classes, per_class;
};

// hef_parse reads a HEF that is whole; false if it makes no sense.
bool hef_parse(const uint8_t *data, size_t size, struct hef *hef);

// compute gives output number o of a network from its inputs; raw or float32.
void compute(const struct hef *hef, uint8_t *const *inputs, size_t o, bool raw, void *to);

size_t input_bytes(const struct hef *hef, size_t i);
size_t output_bytes(const struct hef *hef, size_t o, bool raw);
size_t output_count(const struct hef *hef);

#endif

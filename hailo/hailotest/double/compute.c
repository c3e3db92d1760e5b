#include "double.h"

#include <string.h>

size_t input_bytes(const struct hef *hef, size_t i) { return (size_t)hef->in[i].height * hef->in[i].width * hef->in[i].features; }

size_t output_count(const struct hef *hef) { return hef->nms_name[0] != 0 ? 1 : hef->outs; }

size_t output_bytes(const struct hef *hef, size_t o, bool raw) {
	if (hef->nms_name[0] != 0) {
		return sizeof(float) * hef->classes * (1 + 5 * (size_t)hef->per_class);
	}
	const struct layer *l = &hef->out[o];
	return (size_t)l->height * l->width * l->features * (raw ? 1 : sizeof(float));
}

// boxes finds, for each class k, what is painted in the colour whose first
// channel is 255 − k: its corners, as parts of the image, with the score .9.
static void boxes(const struct hef *hef, const uint8_t *image, float *to) {
	const struct layer *l = &hef->in[0];
	struct {
		uint32_t left, top, right, bottom;
	} found[256];
	memset(found, 0, sizeof found);
	for (uint32_t y = 0; y < l->height; y++) {
		for (uint32_t x = 0; x < l->width; x++) {
			uint8_t v = image[((size_t)y * l->width + x) * l->features];
			if (found[v].bottom == 0) { // the first of its colour
				found[v].left = x;
				found[v].top = y;
			}
			found[v].left = x < found[v].left ? x : found[v].left;
			found[v].right = x + 1 > found[v].right ? x + 1 : found[v].right;
			found[v].bottom = y + 1;
		}
	}
	for (uint32_t k = 0; k < hef->classes; k++) {
		uint32_t v = 255 - k;
		if (k >= 255 || found[v].bottom == 0 || hef->per_class == 0) {
			*to++ = 0;
			continue;
		}
		*to++ = 1;
		*to++ = (float)found[v].top / (float)l->height;
		*to++ = (float)found[v].left / (float)l->width;
		*to++ = (float)found[v].bottom / (float)l->height;
		*to++ = (float)found[v].right / (float)l->width;
		*to++ = .9f;
	}
}

// means cuts the input's bytes into as many pieces as the output has elements;
// each element is the mean of its piece, rounded down.
static void means(const struct layer *l, const uint8_t *input, size_t size, bool raw, void *to) {
	size_t count = (size_t)l->height * l->width * l->features;
	for (size_t i = 0; i < count; i++) {
		size_t begin = (size_t)((uint64_t)i * size / count), end = (size_t)((uint64_t)(i + 1) * size / count);
		if (end <= begin) {
			end = begin + 1;
		}
		uint64_t sum = 0;
		for (size_t j = begin; j < end; j++) {
			sum += input[j];
		}
		uint8_t mean = (uint8_t)(sum / (end - begin));
		if (raw) {
			((uint8_t *)to)[i] = mean;
		} else {
			((float *)to)[i] = ((float)mean - l->zero) * l->scale;
		}
	}
}

void compute(const struct hef *hef, uint8_t *const *inputs, size_t o, bool raw, void *to) {
	if (hef->nms_name[0] != 0) {
		boxes(hef, inputs[0], to);
		return;
	}
	size_t i = o % hef->ins;
	means(&hef->out[o], inputs[i], input_bytes(hef, i), raw, to);
}

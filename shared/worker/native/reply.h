// Replies to the agent: one packet each, with JSON as payload.
#ifndef REPLY_H
#define REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "wire.h"

#define SOCKET_FD 3

// A text that grows within its bounds; what does not fit makes it full for good.
struct text {
	char data[WIRE_MAX_PAYLOAD];
	size_t length;
	bool full;
};

void text_begin(struct text *t);
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
// text_string adds a JSON string; what is not plain ASCII becomes '?'.
void text_string(struct text *t, const char *s);

// reply_text answers request with what t holds. Without anybody to read it the
// process ends.
void reply_text(const struct wire_header *request, const struct text *t);

// reply_with answers with what t holds, nothing if that is NULL; a and b by the request's
// type.
void reply_with(const struct wire_header *request, uint64_t a, uint64_t b, const struct text *t);

// reply answers without a payload.
void reply(const struct wire_header *request, uint64_t a, uint64_t b);

// A failure is the name of the function of the library, the library's word for
// the status, and what else there is to say; each may be "".
struct failure {
	int32_t status;
	const char *call;
	const char *text;
	char detail[256];
};

void reply_failure(const struct wire_header *request, const struct failure *f);

// fail fills f and returns false.
bool fail(struct failure *f, int32_t status, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif

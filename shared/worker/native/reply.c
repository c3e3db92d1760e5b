#include "reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

void text_begin(struct text *t) {
	t->length = 0;
	t->full = false;
}

void text_format(struct text *t, const char *format, ...) {
	size_t room = sizeof t->data - t->length;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->data + t->length, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room) {
		t->full = true;
		return;
	}
	t->length += (size_t)n;
}

void text_string(struct text *t, const char *s) {
	text_format(t, "\"");
	for (; *s != 0; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\') {
			text_format(t, "\\%c", c);
		} else {
			text_format(t, "%c", c >= 0x20 && c < 0x7f ? c : '?');
		}
	}
	text_format(t, "\"");
}

// send_packet sends all of a reply. A socket that the agent has closed ends the
// process: there is nobody to work for.
static void send_packet(const struct wire_header *header, const void *payload) {
	struct iovec parts[2] = {
		{.iov_base = (void *)(uintptr_t)header, .iov_len = sizeof *header},
		{.iov_base = (void *)(uintptr_t)payload, .iov_len = header->length},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	if (sendmsg(SOCKET_FD, &message, MSG_NOSIGNAL) != (ssize_t)(sizeof *header + header->length)) {
		_exit(0);
	}
}

static struct wire_header answer(const struct wire_header *request, uint64_t a, uint64_t b) {
	return (struct wire_header){
		.magic = WIRE_MAGIC, .type = request->type, .flags = WIRE_FLAG_REPLY, .seq = request->seq, .model = request->model, .a = a, .b = b,
	};
}

void reply_with(const struct wire_header *request, uint64_t a, uint64_t b, const struct text *t) {
	if (t != NULL && t->full) {
		struct failure f = {.status = WIRE_MEMORY, .call = "", .text = "", .detail = "the answer is too long"};
		reply_failure(request, &f);
		return;
	}
	struct wire_header h = answer(request, a, b);
	h.length = t != NULL ? (uint32_t)t->length : 0;
	send_packet(&h, t != NULL ? t->data : NULL);
}

void reply(const struct wire_header *request, uint64_t a, uint64_t b) { reply_with(request, a, b, NULL); }

void reply_text(const struct wire_header *request, const struct text *t) {
	reply_with(request, request->type == WIRE_HELLO ? WIRE_VERSION : 0, 0, t);
}

void reply_failure(const struct wire_header *request, const struct failure *f) {
	struct text t; // 64 KiB of stack; threads have 8 MiB
	text_begin(&t);
	text_format(&t, "{\"call\":");
	text_string(&t, f->call ? f->call : "");
	text_format(&t, ",\"text\":");
	text_string(&t, f->text ? f->text : "");
	text_format(&t, ",\"detail\":");
	text_string(&t, f->detail);
	text_format(&t, "}");
	struct wire_header h = answer(request, 0, 0);
	h.status = f->status;
	h.length = (uint32_t)t.length;
	send_packet(&h, t.data);
}

bool fail(struct failure *f, int32_t status, const char *format, ...) {
	f->status = status;
	f->call = f->text = "";
	va_list args;
	va_start(args, format);
	vsnprintf(f->detail, sizeof f->detail, format, args);
	va_end(args);
	return false;
}

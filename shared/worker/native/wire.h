// What agent and worker say to each other. The package shared/worker/frame describes it
// and is what a test holds these numbers against.
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>

#define WIRE_VERSION 1
#define WIRE_MAGIC 0x31575350u
#define WIRE_FLAG_REPLY 1
#define WIRE_MAX_PAYLOAD 65536
#define WIRE_MAX_MODELS 32
#define WIRE_MAX_TENSORS 64
#define WIRE_MAX_DEPTH 32
#define WIRE_MAX_ARENA 1073741824
#define WIRE_MAX_NAME 127
#define WIRE_MAX_DIMS 8
#define WIRE_ALIGN 64

// Types of messages.
#define WIRE_HELLO 1
#define WIRE_DEVICE 2
#define WIRE_LOAD 3
#define WIRE_MAP 4
#define WIRE_INFER 5
#define WIRE_PING 6
#define WIRE_SENSE 7
#define WIRE_UNLOAD 8
#define WIRE_BYE 9
#define WIRE_START 10

// What a worker itself says of a request.
#define WIRE_OK 0
#define WIRE_MALFORMED (-1)
#define WIRE_NO_LIBRARY (-2)
#define WIRE_UNKNOWN (-3)
#define WIRE_LAYOUT (-4)
#define WIRE_FULL (-5)
#define WIRE_BROKEN (-6)
#define WIRE_MEMORY (-7)
#define WIRE_UNSUPPORTED (-8)
#define WIRE_NO_DEVICE (-9)
#define WIRE_TOO_LARGE (-11)

struct wire_header {
	uint32_t magic;
	uint16_t type;
	uint16_t flags;
	uint32_t seq;
	int32_t status;
	uint32_t length;
	uint32_t model;
	uint64_t a;
	uint64_t b;
};

_Static_assert(sizeof(struct wire_header) == 40, "the header has 40 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the header is little-endian");

#endif

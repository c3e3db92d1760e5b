// What the worker knows of libhailort's C interface: handles that nobody looks
// into, numbers, and where in a few structures a few numbers are. No header of
// Hailo is needed to build, and one binary serves every release from 4.17 to
// 4.23, whose own programs die when the library is upgraded.
//
// All was measured with sizeof and offsetof over the real headers of these
// releases, on x86-64 and aarch64; abi_check.c does it again, given headers.
// Memory that the library fills is zero before and far larger than any release needs.
#ifndef ABI_H
#define ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int32_t hrt_status;
typedef void *hrt_handle; // a device, vdevice, HEF, network group or vstream

struct hrt_version {
	uint32_t major, minor, revision;
};

struct hrt_device_id {
	char id[32];
};

struct hrt_vdevice_params {
	uint32_t device_count;
	struct hrt_device_id *device_ids;
	int32_t scheduling_algorithm;
	const char *group_id;
	bool multi_process_service;
};

struct hrt_temperature {
	float ts0, ts1; // °C
	uint16_t samples;
};

#define HRT_SCHEDULER_ROUND_ROBIN 1
#define HRT_AUTO INT32_MAX          // of what and how power is measured
#define HRT_FORMAT_AUTO 0
#define HRT_FORMAT_FLOAT32 3
#define HRT_ORDER_NHWC 1
#define HRT_ORDER_NC 6
#define HRT_INVALID_OPERATION 6
#define HRT_INVALID_HEF 26

// hailo_vstream_info_t, the part that is the same in each release.
#define HRT_INFO_NAME 0
#define HRT_INFO_DIRECTION 388 // 0 to the chip, 1 to the host
#define HRT_INFO_ORDER 396
#define HRT_INFO_SHAPE 404 // height, width, features; of boxes classes, boxes for each

// hailo_input_vstream_params_by_name_t and the same for outputs.
#define HRT_PARAMS_SIZE 156
#define HRT_PARAMS_TIMEOUT 140 // ms
#define HRT_PARAMS_QUEUE 144   // frames

// hailo_device_identity_t.
#define HRT_IDENTITY_FIRMWARE 4 // three numbers
#define HRT_IDENTITY_BOARD_LENGTH 20
#define HRT_IDENTITY_BOARD 21
#define HRT_IDENTITY_ARCH 56
#define HRT_IDENTITY_SERIAL_LENGTH 60
#define HRT_IDENTITY_SERIAL 61
#define HRT_IDENTITY_PART_LENGTH 77
#define HRT_IDENTITY_PART 78

// A row of the table of layouts: what changed between releases.
struct hrt_layout {
	const char *name;
	size_t info_size;     // of hailo_vstream_info_t, which also come in arrays
	size_t info_quant;    // where its zero point and scale are
	int32_t order_nms;    // boxes, class by class
};

// Library is all that the worker calls. An optional function may be missing.
#define HRT_FUNCTIONS(F, OPTIONAL) \
	F(get_library_version, (struct hrt_version *)) \
	F(scan_devices, (void *, struct hrt_device_id *, size_t *)) \
	F(create_device_by_id, (const struct hrt_device_id *, hrt_handle *)) \
	F(identify, (hrt_handle, void *)) \
	F(get_chip_temperature, (hrt_handle, struct hrt_temperature *)) \
	F(init_vdevice_params, (struct hrt_vdevice_params *)) \
	F(create_vdevice, (struct hrt_vdevice_params *, hrt_handle *)) \
	F(release_vdevice, (hrt_handle)) \
	F(create_hef_buffer, (hrt_handle *, const void *, size_t)) \
	F(release_hef, (hrt_handle)) \
	F(configure_vdevice, (hrt_handle, hrt_handle, void *, hrt_handle *, size_t *)) \
	F(make_input_vstream_params, (hrt_handle, bool, int32_t, void *, size_t *)) \
	F(make_output_vstream_params, (hrt_handle, bool, int32_t, void *, size_t *)) \
	F(create_input_vstreams, (hrt_handle, const void *, size_t, hrt_handle *)) \
	F(create_output_vstreams, (hrt_handle, const void *, size_t, hrt_handle *)) \
	F(get_input_vstream_frame_size, (hrt_handle, size_t *)) \
	F(get_output_vstream_frame_size, (hrt_handle, size_t *)) \
	F(get_input_vstream_info, (hrt_handle, void *)) \
	F(get_output_vstream_info, (hrt_handle, void *)) \
	F(vstream_write_raw_buffer, (hrt_handle, const void *, size_t)) \
	F(vstream_read_raw_buffer, (hrt_handle, void *, size_t)) \
	OPTIONAL(hef_get_all_vstream_infos, (hrt_handle, const char *, void *, size_t *)) \
	OPTIONAL(release_input_vstreams, (const hrt_handle *, size_t)) \
	OPTIONAL(release_output_vstreams, (const hrt_handle *, size_t)) \
	OPTIONAL(set_scheduler_timeout, (hrt_handle, uint32_t, const char *)) \
	OPTIONAL(set_scheduler_threshold, (hrt_handle, uint32_t, const char *)) \
	OPTIONAL(set_scheduler_priority, (hrt_handle, uint8_t, const char *)) \
	OPTIONAL(get_throttling_state, (hrt_handle, bool *)) \
	OPTIONAL(power_measurement, (hrt_handle, int32_t, int32_t, float *))

#endif

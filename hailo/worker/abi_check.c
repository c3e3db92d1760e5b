// Holds abi.h against a real header of HailoRT, at compile time:
//
//	cc -std=c11 -fsyntax-only -I INCLUDE abi_check.c
//
// INCLUDE holds hailo/hailort.h. It is no part of the worker.
#include <hailo/hailort.h>

#include "abi.h"

#define SAME(a, b) _Static_assert((a) == (b), #a)

SAME(sizeof(hailo_status), sizeof(hrt_status));
SAME(sizeof(hailo_version_t), sizeof(struct hrt_version));
SAME(sizeof(hailo_device_id_t), sizeof(struct hrt_device_id));
SAME(sizeof(hailo_chip_temperature_info_t), sizeof(struct hrt_temperature));
SAME(sizeof(hailo_vdevice_params_t), sizeof(struct hrt_vdevice_params));
SAME(offsetof(hailo_vdevice_params_t, scheduling_algorithm), offsetof(struct hrt_vdevice_params, scheduling_algorithm));
SAME(offsetof(hailo_vdevice_params_t, group_id), offsetof(struct hrt_vdevice_params, group_id));
SAME(offsetof(hailo_vdevice_params_t, multi_process_service), offsetof(struct hrt_vdevice_params, multi_process_service));
SAME(HAILO_SCHEDULING_ALGORITHM_ROUND_ROBIN, HRT_SCHEDULER_ROUND_ROBIN);
SAME(HAILO_DVM_OPTIONS_AUTO, HRT_AUTO);
SAME(HAILO_POWER_MEASUREMENT_TYPES__AUTO, HRT_AUTO);
SAME(HAILO_FORMAT_TYPE_AUTO, HRT_FORMAT_AUTO);
SAME(HAILO_FORMAT_TYPE_FLOAT32, HRT_FORMAT_FLOAT32);
SAME(HAILO_FORMAT_ORDER_NHWC, HRT_ORDER_NHWC);
SAME(HAILO_FORMAT_ORDER_NC, HRT_ORDER_NC);
SAME(HAILO_INVALID_OPERATION, HRT_INVALID_OPERATION);
SAME(HAILO_INVALID_HEF, HRT_INVALID_HEF);
SAME(HAILO_H2D_STREAM, 0);
SAME(offsetof(hailo_vstream_info_t, direction), HRT_INFO_DIRECTION);
SAME(offsetof(hailo_vstream_info_t, format) + offsetof(hailo_format_t, order), HRT_INFO_ORDER);
SAME(offsetof(hailo_vstream_info_t, shape), HRT_INFO_SHAPE);
SAME(sizeof(hailo_input_vstream_params_by_name_t), HRT_PARAMS_SIZE);
SAME(sizeof(hailo_output_vstream_params_by_name_t), HRT_PARAMS_SIZE);
SAME(offsetof(hailo_output_vstream_params_by_name_t, params) + offsetof(hailo_vstream_params_t, timeout_ms), HRT_PARAMS_TIMEOUT);
SAME(offsetof(hailo_output_vstream_params_by_name_t, params) + offsetof(hailo_vstream_params_t, queue_size), HRT_PARAMS_QUEUE);
SAME(offsetof(hailo_device_identity_t, fw_version), HRT_IDENTITY_FIRMWARE);
SAME(offsetof(hailo_device_identity_t, board_name_length), HRT_IDENTITY_BOARD_LENGTH);
SAME(offsetof(hailo_device_identity_t, board_name), HRT_IDENTITY_BOARD);
SAME(offsetof(hailo_device_identity_t, device_architecture), HRT_IDENTITY_ARCH);
SAME(offsetof(hailo_device_identity_t, serial_number_length), HRT_IDENTITY_SERIAL_LENGTH);
SAME(offsetof(hailo_device_identity_t, serial_number), HRT_IDENTITY_SERIAL);
SAME(offsetof(hailo_device_identity_t, part_number_length), HRT_IDENTITY_PART_LENGTH);
SAME(offsetof(hailo_device_identity_t, part_number), HRT_IDENTITY_PART);

// The row of the table: give -DLAYOUT_NEW for 4.20 and later.
#ifdef LAYOUT_NEW
SAME(sizeof(hailo_vstream_info_t), 436);
SAME(offsetof(hailo_vstream_info_t, quant_info), 420);
SAME(HAILO_FORMAT_ORDER_HAILO_NMS_BY_CLASS, 22);
#else
SAME(sizeof(hailo_vstream_info_t), 432);
SAME(offsetof(hailo_vstream_info_t, quant_info), 416);
SAME(HAILO_FORMAT_ORDER_HAILO_NMS, 9);
#endif

// Each function takes and returns what the worker thinks, up to the types of
// pointers, which the worker has as void *.
#define SIGNATURE(type, name) type = hailo_##name
hailo_status SIGNATURE((*f1)(hailo_version_t *), get_library_version);
hailo_status SIGNATURE((*f2)(hailo_scan_devices_params_t *, hailo_device_id_t *, size_t *), scan_devices);
hailo_status SIGNATURE((*f3)(const hailo_device_id_t *, hailo_device *), create_device_by_id);
hailo_status SIGNATURE((*f4)(hailo_device, hailo_device_identity_t *), identify);
hailo_status SIGNATURE((*f5)(hailo_device, hailo_chip_temperature_info_t *), get_chip_temperature);
hailo_status SIGNATURE((*f6)(hailo_vdevice_params_t *), init_vdevice_params);
hailo_status SIGNATURE((*f7)(hailo_vdevice_params_t *, hailo_vdevice *), create_vdevice);
hailo_status SIGNATURE((*f8)(hailo_vdevice), release_vdevice);
hailo_status SIGNATURE((*f9)(hailo_hef *, const void *, size_t), create_hef_buffer);
hailo_status SIGNATURE((*f10)(hailo_hef), release_hef);
hailo_status SIGNATURE((*f11)(hailo_vdevice, hailo_hef, hailo_configure_params_t *, hailo_configured_network_group *, size_t *), configure_vdevice);
hailo_status SIGNATURE((*f12)(hailo_configured_network_group, bool, hailo_format_type_t, hailo_input_vstream_params_by_name_t *, size_t *), make_input_vstream_params);
hailo_status SIGNATURE((*f13)(hailo_configured_network_group, bool, hailo_format_type_t, hailo_output_vstream_params_by_name_t *, size_t *), make_output_vstream_params);
hailo_status SIGNATURE((*f14)(hailo_configured_network_group, const hailo_input_vstream_params_by_name_t *, size_t, hailo_input_vstream *), create_input_vstreams);
hailo_status SIGNATURE((*f15)(hailo_configured_network_group, const hailo_output_vstream_params_by_name_t *, size_t, hailo_output_vstream *), create_output_vstreams);
hailo_status SIGNATURE((*f16)(hailo_input_vstream, size_t *), get_input_vstream_frame_size);
hailo_status SIGNATURE((*f17)(hailo_output_vstream, size_t *), get_output_vstream_frame_size);
hailo_status SIGNATURE((*f18)(hailo_input_vstream, hailo_vstream_info_t *), get_input_vstream_info);
hailo_status SIGNATURE((*f19)(hailo_output_vstream, hailo_vstream_info_t *), get_output_vstream_info);
hailo_status SIGNATURE((*f20)(hailo_input_vstream, const void *, size_t), vstream_write_raw_buffer);
hailo_status SIGNATURE((*f21)(hailo_output_vstream, void *, size_t), vstream_read_raw_buffer);
hailo_status SIGNATURE((*f22)(hailo_hef, const char *, hailo_vstream_info_t *, size_t *), hef_get_all_vstream_infos);
hailo_status SIGNATURE((*f23)(const hailo_input_vstream *, size_t), release_input_vstreams);
hailo_status SIGNATURE((*f24)(const hailo_output_vstream *, size_t), release_output_vstreams);
hailo_status SIGNATURE((*f25)(hailo_configured_network_group, uint32_t, const char *), set_scheduler_timeout);
hailo_status SIGNATURE((*f26)(hailo_configured_network_group, uint32_t, const char *), set_scheduler_threshold);
hailo_status SIGNATURE((*f27)(hailo_configured_network_group, uint8_t, const char *), set_scheduler_priority);
hailo_status SIGNATURE((*f28)(hailo_device, bool *), get_throttling_state);
hailo_status SIGNATURE((*f29)(hailo_device, hailo_dvm_options_t, hailo_power_measurement_types_t, float32_t *), power_measurement);
const char *SIGNATURE((*f30)(hailo_status), get_status_message);

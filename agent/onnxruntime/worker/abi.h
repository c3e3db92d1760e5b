// What the worker uses of ONNX Runtime's C interface (onnxruntime_c_api.h). It is a
// table of functions to which newer versions only add at the end, so that one program
// serves every version from the one that API_VERSION came with. abi_check.c holds it
// against the real header.
#ifndef ABI_H
#define ABI_H

#include <stddef.h>
#include <stdint.h>

// API_VERSION is that of ONNX Runtime 1.12, of 2022; Debian 13 has 1.21.
#define API_VERSION 12

// Opaque to everybody but the library.
typedef struct OrtStatus *ort_status; // NULL is success
typedef struct OrtEnv *ort_env;
typedef struct OrtSessionOptions *ort_options;
typedef struct OrtSession *ort_session;
typedef struct OrtTypeInfo *ort_type_info;
typedef struct OrtTensorTypeAndShapeInfo *ort_shape_info;
typedef struct OrtMemoryInfo *ort_memory_info;
typedef struct OrtAllocator *ort_allocator;
typedef struct OrtValue *ort_value;

// Severities of its log.
enum { ORT_VERBOSE, ORT_INFO, ORT_WARNING, ORT_ERROR, ORT_FATAL };

#define ORT_OPTIMIZE_ALL 99 // as onnxruntime-node and the Python package do by default
#define ORT_TENSOR 1        // ONNXType
#define ORT_DEVICE_ALLOCATOR 0
#define ORT_MEMORY_DEFAULT 0

// Types of a tensor's elements (ONNXTensorElementDataType).
enum {
	ORT_FLOAT = 1,
	ORT_UINT8,
	ORT_INT8,
	ORT_UINT16,
	ORT_INT16,
	ORT_INT32,
	ORT_INT64,
	ORT_STRING,
	ORT_BOOL,
	ORT_FLOAT16,
	ORT_DOUBLE,
	ORT_UINT32,
	ORT_UINT64,
	ORT_BFLOAT16 = 16
};

typedef void (*ort_log)(void *, int severity, const char *category, const char *id, const char *location, const char *message);

// Each name is preceded by as many slots of others as lie between.
struct ort_api {
	void *skip0[1];
	int (*GetErrorCode)(ort_status);
	const char *(*GetErrorMessage)(ort_status);
	void *skip3[1];
	ort_status (*CreateEnvWithCustomLogger)(ort_log, void *, int severity, const char *id, ort_env *);
	void *skip5[3];
	ort_status (*CreateSessionFromArray)(ort_env, const void *model, size_t, ort_options, ort_session *);
	ort_status (*Run)(ort_session, const void *run_options, const char *const *in_names, const ort_value *in, size_t, const char *const *out_names, size_t, ort_value *out);
	ort_status (*CreateSessionOptions)(ort_options *);
	void *skip11[12];
	ort_status (*SetSessionGraphOptimizationLevel)(ort_options, int);
	ort_status (*SetIntraOpNumThreads)(ort_options, int);
	ort_status (*SetInterOpNumThreads)(ort_options, int);
	void *skip26[4];
	ort_status (*SessionGetInputCount)(ort_session, size_t *);
	ort_status (*SessionGetOutputCount)(ort_session, size_t *);
	void *skip32[1];
	ort_status (*SessionGetInputTypeInfo)(ort_session, size_t, ort_type_info *);
	ort_status (*SessionGetOutputTypeInfo)(ort_session, size_t, ort_type_info *);
	void *skip35[1];
	ort_status (*SessionGetInputName)(ort_session, size_t, ort_allocator, char **);
	ort_status (*SessionGetOutputName)(ort_session, size_t, ort_allocator, char **);
	void *skip38[11];
	ort_status (*CreateTensorWithDataAsOrtValue)(ort_memory_info, void *, size_t, const int64_t *shape, size_t rank, int type, ort_value *);
	ort_status (*IsTensor)(ort_value, int *);
	ort_status (*GetTensorMutableData)(ort_value, void **);
	void *skip52[3];
	ort_status (*CastTypeInfoToTensorInfo)(ort_type_info, ort_shape_info *); // which belongs to the type info
	ort_status (*GetOnnxTypeFromTypeInfo)(ort_type_info, int *);
	void *skip57[3];
	ort_status (*GetTensorElementType)(ort_shape_info, int *);
	ort_status (*GetDimensionsCount)(ort_shape_info, size_t *);
	ort_status (*GetDimensions)(ort_shape_info, int64_t *, size_t);
	void *skip63[2];
	ort_status (*GetTensorTypeAndShape)(ort_value, ort_shape_info *);
	void *skip66[3];
	ort_status (*CreateCpuMemoryInfo)(int allocator, int memory, ort_memory_info *);
	void *skip70[6];
	ort_status (*AllocatorFree)(ort_allocator, void *);
	void *skip77[1];
	ort_status (*GetAllocatorWithDefaultOptions)(ort_allocator *);
	void *skip79[14];
	void (*ReleaseStatus)(ort_status);
	void *skip94[1];
	void (*ReleaseSession)(ort_session);
	void (*ReleaseValue)(ort_value);
	void *skip97[1];
	void (*ReleaseTypeInfo)(ort_type_info);
	void (*ReleaseTensorTypeAndShapeInfo)(ort_shape_info);
	void (*ReleaseSessionOptions)(ort_options);
	void *skip101[29];
	ort_status (*AddSessionConfigEntry)(ort_options, const char *key, const char *value);
};

// Numbers of the slots, as the real header counts them.
#define SLOT(name) (offsetof(struct ort_api, name) / sizeof(void *))
_Static_assert(SLOT(Run) == 9 && SLOT(CreateTensorWithDataAsOrtValue) == 49 && SLOT(GetTensorMutableData) == 51 && SLOT(GetTensorTypeAndShape) == 65, "slots");
_Static_assert(SLOT(ReleaseValue) == 96 && SLOT(AddSessionConfigEntry) == 130, "slots");

struct ort_base {
	const struct ort_api *(*GetApi)(uint32_t version); // NULL for one that is unknown
	const char *(*GetVersionString)(void);
};

#endif

// Holds abi.h against the real onnxruntime_c_api.h, which is not in this repository:
//
//	gcc -std=c11 -fsyntax-only -I HEADERS agent/onnxruntime/worker/abi_check.c
#include <onnxruntime_c_api.h>

#include "abi.h"

_Static_assert(API_VERSION <= ORT_API_VERSION, "version");
#define SAME(name) _Static_assert(offsetof(struct ort_api, name) == offsetof(struct OrtApi, name), #name)
SAME(GetErrorCode);
SAME(GetErrorMessage);
SAME(CreateEnvWithCustomLogger);
SAME(CreateSessionFromArray);
SAME(Run);
SAME(CreateSessionOptions);
SAME(SetSessionGraphOptimizationLevel);
SAME(SetIntraOpNumThreads);
SAME(SetInterOpNumThreads);
SAME(SessionGetInputCount);
SAME(SessionGetOutputCount);
SAME(SessionGetInputTypeInfo);
SAME(SessionGetOutputTypeInfo);
SAME(SessionGetInputName);
SAME(SessionGetOutputName);
SAME(CreateTensorWithDataAsOrtValue);
SAME(IsTensor);
SAME(GetTensorMutableData);
SAME(CastTypeInfoToTensorInfo);
SAME(GetOnnxTypeFromTypeInfo);
SAME(GetTensorElementType);
SAME(GetDimensionsCount);
SAME(GetDimensions);
SAME(GetTensorTypeAndShape);
SAME(CreateCpuMemoryInfo);
SAME(AllocatorFree);
SAME(GetAllocatorWithDefaultOptions);
SAME(ReleaseStatus);
SAME(ReleaseSession);
SAME(ReleaseValue);
SAME(ReleaseTypeInfo);
SAME(ReleaseTensorTypeAndShapeInfo);
SAME(ReleaseSessionOptions);
SAME(AddSessionConfigEntry);

_Static_assert(ORT_WARNING == ORT_LOGGING_LEVEL_WARNING && ORT_FATAL == ORT_LOGGING_LEVEL_FATAL, "log");
_Static_assert(ORT_OPTIMIZE_ALL == ORT_ENABLE_ALL && ORT_TENSOR == ONNX_TYPE_TENSOR, "enums");
_Static_assert(ORT_DEVICE_ALLOCATOR == OrtDeviceAllocator && ORT_MEMORY_DEFAULT == OrtMemTypeDefault, "memory");
_Static_assert(ORT_FLOAT == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && ORT_INT8 == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, "types");
_Static_assert(ORT_UINT16 == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16 && ORT_INT32 == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, "types");
_Static_assert(ORT_INT64 == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 && ORT_BOOL == ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, "types");
_Static_assert(ORT_FLOAT16 == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 && ORT_UINT64 == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, "types");
_Static_assert(ORT_BFLOAT16 == ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, "types");

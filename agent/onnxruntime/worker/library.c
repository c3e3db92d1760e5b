#include "library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

// say writes what the library has to tell, a line each, as the agent looks for it.
static void say(void *unused, int severity, const char *category, const char *id, const char *location, const char *message) {
	static const char *const words[] = {"verbose", "info", "warning", "error", "critical"};
	(void)unused, (void)category, (void)id, (void)location;
	char line[400];
	snprintf(line, sizeof line, "%s", message);
	for (char *c = line; *c != 0; c++) {
		if (*c == '\n') {
			*c = ' ';
		}
	}
	fprintf(stderr, "[ONNX Runtime] [%s] %s\n", words[severity >= ORT_VERBOSE && severity <= ORT_FATAL ? severity : ORT_ERROR], line);
}

bool called(const struct library *lib, ort_status status, const char *name, struct failure *f) {
	if (status == NULL) {
		return true;
	}
	int code = lib->api->GetErrorCode(status);
	fail(f, code > 0 ? code : 1, "%.200s", lib->api->GetErrorMessage(status));
	f->call = name;
	lib->api->ReleaseStatus(status);
	return false;
}

// unusable notes why the library is of no use.
static void unusable(struct library *lib, int32_t fault, const char *why) {
	lib->fault = fault;
	snprintf(lib->why, sizeof lib->why, "%s", why);
}

void library_open(struct library *lib, const char *path) {
	memset(lib, 0, sizeof *lib);
	if (path == NULL) {
		unusable(lib, WIRE_NO_LIBRARY, "no library was named");
		return;
	}
	snprintf(lib->path, sizeof lib->path, "%s", path);
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		const char *reason = dlerror();
		unusable(lib, WIRE_NO_LIBRARY, reason != NULL ? reason : "dlopen failed");
		return;
	}
	const struct ort_base *(*base)(void);
	void *address = dlsym(handle, "OrtGetApiBase");
	memcpy(&base, &address, sizeof base);
	const struct ort_base *b = base != NULL ? base() : NULL;
	if (b == NULL) {
		unusable(lib, WIRE_NO_LIBRARY, "it has no OrtGetApiBase, so it is not ONNX Runtime");
		return;
	}
	snprintf(lib->version, sizeof lib->version, "%s", b->GetVersionString());
	if ((lib->api = b->GetApi(API_VERSION)) == NULL) {
		unusable(lib, WIRE_UNKNOWN, "it is older than 1.12");
		return;
	}
	struct failure f = {0};
	if (!called(lib, lib->api->CreateEnvWithCustomLogger(say, NULL, ORT_WARNING, "prime-spark", &lib->env), "CreateEnv", &f) ||
		!called(lib, lib->api->CreateCpuMemoryInfo(ORT_DEVICE_ALLOCATOR, ORT_MEMORY_DEFAULT, &lib->memory), "CreateCpuMemoryInfo", &f) ||
		!called(lib, lib->api->GetAllocatorWithDefaultOptions(&lib->allocator), "GetAllocatorWithDefaultOptions", &f)) {
		unusable(lib, WIRE_NO_LIBRARY, f.detail);
	}
}

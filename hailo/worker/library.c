#define _GNU_SOURCE
#include "library.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

static const struct hrt_layout layouts[] = {
	{"4.17", 432, 416, 9},  // 4.17.0 to 4.19.0
	{"4.20", 436, 420, 22}, // 4.20.0 to 4.23.0, and to be tried with later ones
};

struct symbol {
	const char *name;
	size_t offset; // in struct library
	bool optional;
};

static const struct symbol symbols[] = {
	{"hailo_get_status_message", offsetof(struct library, get_status_message), false},
#define NEEDED(name, parameters) {"hailo_" #name, offsetof(struct library, name), false},
#define OPTIONAL(name, parameters) {"hailo_" #name, offsetof(struct library, name), true},
	HRT_FUNCTIONS(NEEDED, OPTIONAL)
#undef NEEDED
#undef OPTIONAL
};

// newest returns the index of the path that ends in the highest version, so that
// .so.4.9.0 comes before .so.4.23.0; -1 for none.
static int newest(char **paths, size_t count) {
	int best = -1;
	for (size_t i = 0; i < count; i++) {
		if (best < 0 || strverscmp(paths[i], paths[best]) > 0) {
			best = (int)i;
		}
	}
	return best;
}

// try_open opens one file; the reason of a failure goes to why.
static void *try_open(struct library *lib, const char *path) {
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		const char *reason = dlerror();
		snprintf(lib->why, sizeof lib->why, "%s", reason ? reason : "dlopen failed");
		return NULL;
	}
	snprintf(lib->path, sizeof lib->path, "%s", path);
	lib->why[0] = 0;
	return handle;
}

static void *find(struct library *lib, const char *path) {
	if (path != NULL) {
		return try_open(lib, path);
	}
	void *handle = try_open(lib, "libhailort.so");
	static const char *const patterns[] = {
		// Raspberry Pi OS has the name with the version, and no link to it.
		"/usr/lib/libhailort.so.*", "/usr/lib/*/libhailort.so.*", "/usr/local/lib/libhailort.so*",
	};
	for (size_t i = 0; handle == NULL && i < sizeof patterns / sizeof *patterns; i++) {
		glob_t found;
		if (glob(patterns[i], 0, NULL, &found) != 0) {
			continue;
		}
		int best = newest(found.gl_pathv, found.gl_pathc);
		if (best >= 0) {
			handle = try_open(lib, found.gl_pathv[best]);
		}
		globfree(&found);
	}
	return handle;
}

static void resolve(struct library *lib, void *handle) {
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		void *address = dlsym(handle, symbols[i].name);
		memcpy((char *)lib + symbols[i].offset, &address, sizeof address);
		if (address == NULL && !symbols[i].optional && lib->missing_count < sizeof lib->missing / sizeof *lib->missing) {
			lib->missing[lib->missing_count++] = symbols[i].name;
		}
	}
}

// choose finds the row of the table for the version.
static void choose(struct library *lib) {
	const struct hrt_version *v = &lib->version;
	if (v->major == 4 && v->minor >= 17) {
		lib->layout = &layouts[v->minor >= 20];
		lib->guessed = v->minor > 23;
		return;
	}
	lib->fault = WIRE_UNKNOWN;
	snprintf(lib->why, sizeof lib->why, "HailoRT %u.%u.%u is not one of 4.17 to 4.23, whose layout this worker knows", v->major, v->minor, v->revision);
}

void library_open(struct library *lib, const char *path) {
	memset(lib, 0, sizeof *lib);
	void *handle = find(lib, path);
	if (handle == NULL) {
		lib->fault = WIRE_NO_LIBRARY;
		return;
	}
	resolve(lib, handle);
	if (lib->missing_count > 0) {
		lib->fault = WIRE_NO_LIBRARY;
		snprintf(lib->why, sizeof lib->why, "%s lacks %s", lib->path, lib->missing[0]);
	}
	if (lib->get_library_version == NULL) {
		return;
	}
	hrt_status s = lib->get_library_version(&lib->version);
	if (s != 0) {
		lib->fault = WIRE_NO_LIBRARY;
		snprintf(lib->why, sizeof lib->why, "%s does not tell its version: status %d", lib->path, s);
	}
	if (lib->fault == WIRE_OK) {
		choose(lib);
	}
}

const char *library_text(const struct library *lib, hrt_status status) {
	const char *text = status > 0 && lib->get_status_message != NULL ? lib->get_status_message(status) : NULL;
	return text ? text : "";
}

// Finds libhailort, and holds what it offers.
#ifndef LIBRARY_H
#define LIBRARY_H

#include "abi.h"

struct library {
	// Why it cannot be used; "" if it can.
	char why[512];
	int32_t fault; // WIRE_OK, WIRE_NO_LIBRARY, or WIRE_UNKNOWN if only identity and temperature are to be had
	char path[256];
	struct hrt_version version;
	const struct hrt_layout *layout; // not NULL unless fault
	bool guessed;                    // the version is newer than the table, so the model must prove the layout
	const char *missing[32];
	size_t missing_count;

	const char *(*get_status_message)(hrt_status);
#define DECLARE(name, parameters) hrt_status(*name) parameters;
	HRT_FUNCTIONS(DECLARE, DECLARE)
#undef DECLARE
};

// library_open loads the library at path, or the one of the system if path is
// NULL. What is wrong with it is in fault and why.
void library_open(struct library *lib, const char *path);

// library_text is the library's name for a status, "" if it has none.
const char *library_text(const struct library *lib, hrt_status status);

#endif

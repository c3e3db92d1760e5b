// What a worker does with the agent's socket, whatever its engine: one thread reads
// it and answers what needs no library, so that silence means death; another does
// what may be slow, in turn.
#ifndef SERVE_H
#define SERVE_H

#include "place.h"

// A task is a request for the slow thread. At most one file came with it, which
// is closed after it; -1 without.
struct task {
	struct wire_header request;
	char *payload; // ends with a zero byte
	int fd;
};

// An engine is what the two threads ask.
struct engine {
	// hello adds the fields of the answer to Hello, from "worker" on, without braces.
	void (*hello)(struct text *t);
	// perform answers a task, or fills f and returns false.
	bool (*perform)(struct task *task, struct failure *f);
	// place is that of a model; NULL for a number that has none.
	struct place *(*place)(uint32_t model);
	unsigned (*models)(void); // that are loaded
};

// worker_start is for main: it holds that descriptor 3 is the agent's socket, has the
// kernel end this process with the agent, and blocks all signals. It returns false if
// this is no worker that an agent has started.
bool worker_start(void);

// receive reads one packet and the file that may come with it, -1 without. The end of
// the conversation, and nonsense, which only a broken agent sends, end the process.
size_t receive(char *packet, size_t room, int *fd);

// serve answers requests until the agent goes, which ends the process.
_Noreturn void serve(const struct engine *engine);

#endif

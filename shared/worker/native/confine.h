// Takes from a worker what it does not need: so a model file that takes over its
// library gets nothing beyond the tensors.
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>
#include <stdint.h>

// confine has the kernel refuse this process, and all its threads, for good: sockets
// but the one that it has, other programs and processes, files that are not there to be
// read, and what reaches around that. It returns false where the kernel, or who started
// it, does not let it; then nothing is refused, or not all.
bool confine(void);

// limit_memory bounds the memory of its own that the process may have, in bytes. An
// allocation beyond fails.
bool limit_memory(uint64_t bytes);

#endif

// What a worker does that systemd started, for a connection of the agent's: it has the
// socket, and the agent tells it the rest.
#ifndef UNIT_H
#define UNIT_H

#include <stdbool.h>

// unit_start waits for the agent's Start, which brings the arguments of the program and
// what to have as standard error. Arguments begin at 1; 0 stays. What is no Start ends
// the process.
bool unit_start(int *argc, char ***argv);

// unit_attend waits until there is something to read from fd, and feeds systemd's
// watchdog meanwhile, if there is one.
void unit_attend(int fd);

#endif

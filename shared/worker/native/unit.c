#define _GNU_SOURCE
#include "unit.h"

#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve.h"

#define MAX_ARGS 16

// systemd's watchdog (sd_notify(3), sd_watchdog_enabled(3)); -1 without one.
static int watchdog = -1;
static uint64_t every_ns, fed_ns;

static void watch(void) {
	const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	if (path == NULL || usec == NULL || path[0] != '/' || strlen(path) >= sizeof to.sun_path) {
		return;
	}
	memcpy(to.sun_path, path, strlen(path));
	unsigned long long limit = strtoull(usec, NULL, 10);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return;
	}
	if (limit < 3000 || limit > 3600000000 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
		close(fd);
		return;
	}
	watchdog = fd;
	every_ns = limit * 1000 / 3;
}

void unit_attend(int fd) {
	struct pollfd from = {.fd = fd, .events = POLLIN};
	while (watchdog >= 0) {
		uint64_t now = now_ns();
		if (fed_ns == 0 || now - fed_ns >= every_ns) {
			fed_ns = now;
			// One that is lost is made up for by the next.
			(void)send(watchdog, "WATCHDOG=1", 10, MSG_DONTWAIT | MSG_NOSIGNAL);
		}
		if (poll(&from, 1, (int)((every_ns - (now - fed_ns)) / 1000000) + 1) > 0) {
			return;
		}
	}
}

bool unit_start(int *argc, char ***argv) {
	static _Alignas(struct wire_header) char packet[sizeof(struct wire_header) + WIRE_MAX_PAYLOAD + 1];
	static char *args[MAX_ARGS + 2];
	struct wire_header request;
	int fd;
	watch();
	size_t n = receive(packet, sizeof packet - 1, &fd);
	memcpy(&request, packet, sizeof request);
	if (request.type != WIRE_START || fd < 0) {
		fputs("a worker of a unit is to be told how to start\n", stderr);
		return false;
	}
	if (dup2(fd, STDERR_FILENO) < 0) {
		perror("standard error");
		return false;
	}
	close(fd);
	packet[n] = 0;
	int count = 1;
	char *rest = packet + sizeof request;
	for (char *line; (line = strsep(&rest, "\n")) != NULL && (*line != 0 || rest != NULL);) {
		if (strncmp(line, "arg ", 4) != 0 || count > MAX_ARGS) {
			fprintf(stderr, "\"%.60s\" is no argument, or one too many\n", line);
			return false;
		}
		args[count++] = line + 4;
	}
	args[0] = (*argv)[0];
	*argc = count, *argv = args;
	reply(&request, (uint64_t)getpid(), 0);
	return true;
}

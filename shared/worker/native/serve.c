#define _GNU_SOURCE
#include "serve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

static const struct engine *engine;

#define MAX_TASKS 8
static struct task tasks[MAX_TASKS];
static size_t task_first, task_count;
static pthread_mutex_t task_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t task_filled = PTHREAD_COND_INITIALIZER;

static void answer_hello(const struct wire_header *request) {
	static struct text t; // of the reading thread alone
	text_begin(&t);
	text_format(&t, "{\"pid\":%d,", (int)getpid());
	engine->hello(&t);
	text_format(&t, "}");
	reply_text(request, &t);
}

// resident is how many bytes of memory the process has, from /proc/self/statm.
static unsigned long long resident(void) {
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;
	if (file != NULL) {
		if (fscanf(file, "%*u %llu", &pages) != 1) {
			pages = 0;
		}
		fclose(file);
	}
	return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static void answer_ping(const struct wire_header *request) {
	static struct text t;
	text_begin(&t);
	text_format(&t, "{\"frames\":%llu,\"errors\":%llu,\"inflight\":%u,\"models\":%u,\"rss\":%llu}", (unsigned long long)atomic_load(&frames_done),
		(unsigned long long)atomic_load(&frames_failed), atomic_load(&frames_inflight), engine->models(), resident());
	reply_text(request, &t);
}

static void *work(void *unused) {
	(void)unused;
	for (;;) {
		pthread_mutex_lock(&task_lock);
		while (task_count == 0) {
			pthread_cond_wait(&task_filled, &task_lock);
		}
		struct task task = tasks[task_first];
		task_first = (task_first + 1) % MAX_TASKS;
		task_count--;
		pthread_mutex_unlock(&task_lock);
		struct failure f = {.call = "", .text = ""};
		if (!engine->perform(&task, &f)) {
			reply_failure(&task.request, &f);
		}
		free(task.payload);
		if (task.fd >= 0) {
			close(task.fd);
		}
	}
	return NULL;
}

// hand_over gives a request to the slow thread.
static void hand_over(const struct wire_header *request, const char *payload, int fd) {
	struct failure f = {.call = "", .text = ""};
	char *copy = malloc(request->length + 1);
	bool ok = false;
	if (copy == NULL) {
		fail(&f, WIRE_MEMORY, "no memory");
	} else {
		memcpy(copy, payload, request->length);
		copy[request->length] = 0;
		pthread_mutex_lock(&task_lock);
		ok = task_count < MAX_TASKS || fail(&f, WIRE_FULL, "%d requests are waiting", MAX_TASKS);
		if (ok) {
			tasks[(task_first + task_count++) % MAX_TASKS] = (struct task){.request = *request, .payload = copy, .fd = fd};
			pthread_cond_signal(&task_filled);
		}
		pthread_mutex_unlock(&task_lock);
	}
	if (!ok) {
		free(copy);
		if (fd >= 0) {
			close(fd);
		}
		reply_failure(request, &f);
	}
}

size_t receive(char *packet, size_t room, int *fd) {
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {.iov_base = packet, .iov_len = room};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	ssize_t n;
	unit_attend(SOCKET_FD);
	do {
		n = recvmsg(SOCKET_FD, &message, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		_exit(0);
	}
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	*fd = -1;
	// In the room for one file there is, for its alignment, room for two.
	bool one = c == NULL || (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)));
	if (c != NULL && one) {
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	}
	const struct wire_header *h = (const struct wire_header *)(const void *)packet;
	if (!one || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || (size_t)n < sizeof *h || h->magic != WIRE_MAGIC || h->flags != 0 || h->length != (size_t)n - sizeof *h) {
		fprintf(stderr, "a packet of %zd bytes is no request of this protocol\n", n);
		_exit(1);
	}
	return (size_t)n;
}

bool worker_start(void) {
	int type;
	if (getsockopt(SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){sizeof type}) != 0 || type != SOCK_SEQPACKET) {
		fputs("descriptor 3 is not the agent's socket\n", stderr);
		return false;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); // no core of a whole model on an SD card
	// A driver may give a wait up at any signal (hailort-drivers, nnc.c), so none may
	// come to a thread that is in the library. Threads inherit this.
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	return true;
}

_Noreturn void serve(const struct engine *e) {
	engine = e;
	pthread_t thread;
	if (pthread_create(&thread, NULL, work, NULL) != 0) {
		fputs("no thread\n", stderr);
		_exit(1);
	}
	static _Alignas(struct wire_header) char packet[sizeof(struct wire_header) + WIRE_MAX_PAYLOAD];
	for (;;) {
		int fd;
		struct place *place;
		receive(packet, sizeof packet, &fd);
		struct wire_header request;
		memcpy(&request, packet, sizeof request);
		struct failure f = {.call = "", .text = ""};
		switch (request.type) {
		case WIRE_INFER:
			if ((place = engine->place(request.model)) != NULL) {
				place_infer(place, &request);
			} else {
				fail(&f, WIRE_MALFORMED, "there is no model %u", request.model);
				reply_failure(&request, &f);
			}
			break;
		case WIRE_PING:
			answer_ping(&request);
			break;
		case WIRE_HELLO:
			answer_hello(&request);
			break;
		default:
			hand_over(&request, packet + sizeof request, fd);
			continue; // the file is the other thread's
		}
		if (fd >= 0) {
			close(fd);
		}
	}
}

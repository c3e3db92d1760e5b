#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "which architecture is this?"
#endif

// Calls that are new, and unknown to old headers. Their numbers are the same everywhere.
enum { IO_URING_SETUP = 425, IO_URING_ENTER = 426, IO_URING_REGISTER = 427, OPEN_TREE = 428, MOVE_MOUNT = 429, FSOPEN = 430, PIDFD_OPEN = 434, CLONE3 = 435, OPENAT2 = 437, PIDFD_GETFD = 438 };

// The call and the lower halves of its arguments, as the filter sees them.
#define CALL (offsetof(struct seccomp_data, nr))
#define LOW(n) (offsetof(struct seccomp_data, args) + 8 * (n)) // little-endian
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(at))
#define REFUSE(why) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (why))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
// NEVER refuses a call whatever its arguments.
#define NEVER(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(nr), 0, 1), REFUSE(EPERM)
// UNKNOWN makes a call one that the kernel does not have, so that its older kin is taken.
#define UNKNOWN(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(nr), 0, 1), REFUSE(ENOSYS)
// READING allows a call whose flags, argument n, only ask to read what is there.
#define READING(nr, n)                                                                             \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(nr), 0, 4), LOAD(LOW(n)),                       \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 0, 1), REFUSE(EACCES), ALLOW
// WITHIN allows a call whose argument n is value.
#define WITHIN(nr, n, value) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(nr), 0, 4), LOAD(LOW(n)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 1, 0), REFUSE(EPERM), ALLOW

bool confine(void) {
	struct sock_filter filter[] = {
		LOAD(offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		LOAD(CALL),
#if defined(__x86_64__)
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), // the x32 calls, which have other numbers
		REFUSE(EPERM),
		READING(__NR_open, 1), NEVER(__NR_creat), NEVER(__NR_fork), NEVER(__NR_vfork), NEVER(__NR_unlink), NEVER(__NR_rename), NEVER(__NR_mkdir),
		NEVER(__NR_rmdir), NEVER(__NR_link), NEVER(__NR_symlink), NEVER(__NR_chmod), NEVER(__NR_chown), NEVER(__NR_lchown), NEVER(__NR_mknod), NEVER(__NR_accept),
#else
		NEVER(__NR_accept),
#endif
		// No network.
		NEVER(__NR_socket), NEVER(__NR_socketpair), NEVER(__NR_connect), NEVER(__NR_bind), NEVER(__NR_listen), NEVER(__NR_accept4),
		NEVER(IO_URING_SETUP), NEVER(IO_URING_ENTER), NEVER(IO_URING_REGISTER),
		// No other programs: threads only, of this process, and signals to it alone.
		NEVER(__NR_execve), NEVER(__NR_execveat), UNKNOWN(CLONE3),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 4), LOAD(LOW(0)), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0), REFUSE(EPERM), ALLOW,
		WITHIN(__NR_kill, 0, getpid()), WITHIN(__NR_tgkill, 0, getpid()), NEVER(__NR_tkill), NEVER(__NR_ptrace), NEVER(__NR_process_vm_readv),
		NEVER(__NR_process_vm_writev), NEVER(PIDFD_OPEN), NEVER(PIDFD_GETFD),
		// No files but to read.
		READING(__NR_openat, 2), UNKNOWN(OPENAT2), NEVER(__NR_unlinkat), NEVER(__NR_renameat), NEVER(__NR_renameat2), NEVER(__NR_mkdirat), NEVER(__NR_linkat), NEVER(__NR_symlinkat),
		NEVER(__NR_mknodat), NEVER(__NR_fchmodat), NEVER(__NR_fchownat), NEVER(__NR_fchmod), NEVER(__NR_fchown),
		NEVER(__NR_truncate), NEVER(__NR_utimensat), NEVER(__NR_setxattr), NEVER(__NR_lsetxattr), NEVER(__NR_fsetxattr),
		NEVER(__NR_mount), NEVER(__NR_umount2), NEVER(OPEN_TREE), NEVER(MOVE_MOUNT), NEVER(FSOPEN), NEVER(__NR_unshare), NEVER(__NR_setns),
		// Nothing of the kernel that is hard to look over.
		NEVER(__NR_bpf), NEVER(__NR_userfaultfd), NEVER(__NR_perf_event_open), NEVER(__NR_keyctl), NEVER(__NR_add_key), NEVER(__NR_request_key),
		ALLOW,
	};
	struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool limit_memory(uint64_t bytes) { return setrlimit(RLIMIT_DATA, &(struct rlimit){bytes, bytes}) == 0; }

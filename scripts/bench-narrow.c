// bench-narrow.c, built by bench-engine.sh and loaded into ONNX Runtime's process by
// LD_PRELOAD: lets that process believe that its processor ends at AVX2 with FMA.
//
// ONNX Runtime picks its kernels by CPUID and has no setting for it. Linux can let
// the instruction fault (arch_prctl ARCH_SET_CPUID, where the processor can); the fault is
// then answered with the processor's own words less AVX-512, AVX-VNNI and AMX. So both
// engines are measured on the same instructions. A process that cannot be held so exits 3.
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { set_cpuid = 0x1012 }; // ARCH_SET_CPUID of asm/prctl.h

// Bits of CPUID leaf 7 (Intel SDM volume 2A, CPUID): subleaf 0 in EBX, ECX and EDX, subleaf 1
// in EAX and EDX.
static const uint32_t wide_b0 = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31;
static const uint32_t wide_c0 = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14;
static const uint32_t wide_d0 = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25;
static const uint32_t wide_a1 = 1u << 4 | 1u << 5 | 1u << 21 | 1u << 23;
static const uint32_t wide_d1 = 1u << 4 | 1u << 5 | 1u << 10;

static int held; // the handler is ours, and stays

static void on_fault(int sig, siginfo_t *info, void *context) {
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
	const uint8_t *at = (const uint8_t *)r[REG_RIP];
	if (info->si_code != SI_KERNEL || at[0] != 0x0f || at[1] != 0xa2) { // any fault but that of CPUID
		signal(sig, SIG_DFL);
		raise(sig);
		_exit(1);
	}
	uint32_t leaf = (uint32_t)r[REG_RAX], sub = (uint32_t)r[REG_RCX], a, b, c, d;
	syscall(SYS_arch_prctl, set_cpuid, 1);
	__cpuid_count(leaf, sub, a, b, c, d);
	syscall(SYS_arch_prctl, set_cpuid, 0);
	if (leaf == 7 && sub == 0) {
		b &= ~wide_b0;
		c &= ~wide_c0;
		d &= ~wide_d0;
	}
	if (leaf == 7 && sub == 1) {
		a &= ~wide_a1;
		d &= ~wide_d1;
	}
	r[REG_RAX] = a;
	r[REG_RBX] = b;
	r[REG_RCX] = c;
	r[REG_RDX] = d;
	r[REG_RIP] += 2;
}

// sigaction is the C library's, but leaves our handler where it is: Node resets all.
int sigaction(int sig, const struct sigaction *now, struct sigaction *before) {
	static int (*real)(int, const struct sigaction *, struct sigaction *);
	if (!real)
		real = (int (*)(int, const struct sigaction *, struct sigaction *))dlsym(RTLD_NEXT, "sigaction");
	return real(sig, sig == SIGSEGV && held ? NULL : now, before);
}

__attribute__((constructor)) static void hold(void) {
	unsetenv("LD_PRELOAD"); // of this process alone
	struct sigaction ours;
	memset(&ours, 0, sizeof ours);
	ours.sa_sigaction = on_fault;
	ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
	if (sigaction(SIGSEGV, &ours, NULL) || syscall(SYS_arch_prctl, set_cpuid, 0)) {
		perror("bench-engine: this machine cannot hold ONNX Runtime to AVX2 (no faulting CPUID); set BENCH_RUNTIME=widest");
		_exit(3);
	}
	held = 1;
}

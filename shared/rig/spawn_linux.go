package rig

import (
	"os"
	"syscall"
)

// tied puts a child into a process group of its own, where a Ctrl-C that is
// meant for this process does not reach it, and has the kernel kill it when its
// parent is gone.
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// onFirstThread is true on the thread that has the number of the process.
func onFirstThread() bool { return syscall.Gettid() == os.Getpid() }

//go:build !linux

package rig

import "syscall"

// tied puts a child into a process group of its own, where a Ctrl-C that is
// meant for this process does not reach it. Only Linux can also tie its life to
// this process's: elsewhere a demo that is killed by force leaves its daemons.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// onFirstThread is of no matter where children are not tied to threads.
func onFirstThread() bool { return false }

package hailotest_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"primespark/hailo/hailotest"
	"primespark/shared/worker/frame"
)

// TestTwoFiles sends more files with a request than any has: the worker ends, as
// with all that no agent says.
func TestTwoFiles(t *testing.T) {
	t.Parallel()
	kit := hailotest.Native(t)
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "ours"), os.NewFile(uintptr(ends[1]), "theirs")
	defer ours.Close()
	var said bytes.Buffer
	cmd := exec.Command(kit.Worker, "--library", kit.Library)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, &said
	packet, err := frame.Message{Header: frame.Header{Type: frame.Load}}.Encode()
	if err == nil {
		err = unix.Sendmsg(int(ours.Fd()), packet, unix.UnixRights(1, 2), nil, 0)
	}
	if err == nil {
		err = cmd.Run()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(said.String(), "is no request of this protocol") {
		t.Errorf("it ended with %v and said %q", err, &said)
	}
	if err := theirs.Close(); err != nil {
		t.Error(err)
	}
}

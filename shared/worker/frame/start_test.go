package frame_test

import (
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"primespark/shared/worker/frame"
)

// TestStart tells a worker its arguments, and refuses what it could not read.
func TestStart(t *testing.T) {
	told := make(chan string, 10)
	var pid atomic.Uint64
	pid.Store(4711)
	client := worker(t, func(c *frame.Conn, m frame.Message, file *os.File) {
		if file == nil {
			t.Error("no standard error came along")
			return
		}
		told <- string(m.Payload)
		if _, err := io.WriteString(file, "[error] no luck\n"); err != nil {
			t.Error(err)
		}
		_ = file.Close() // written to
		r := m.Answer(nil)
		r.A = pid.Load()
		reply(t, c, r)
	})
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	n, err := client.Start(t.Context(), []string{"--library", "/usr/lib/a b.so", ""}, write)
	if got := <-told; err != nil || n != 4711 || got != "arg --library\narg /usr/lib/a b.so\narg \n" {
		t.Errorf("process %d was told %q, %v", n, got, err)
	}
	for name, args := range map[string][]string{
		"a line break": {"a\nb"}, "a zero byte": {"a\x00b"}, "too long": {strings.Repeat("a", 4097)}, "too many": make([]string, 17),
	} {
		if _, err := client.Start(t.Context(), args, write); err == nil {
			t.Errorf("%s was sent", name)
		}
	}
	for _, bad := range []uint64{0, 1, 1 << 40} {
		pid.Store(bad)
		if n, err := client.Start(t.Context(), nil, write); err == nil {
			t.Errorf("a worker that says that it is process %d is %d", bad, n)
		}
	}
	_ = write.Close() // the other side has written, and closed its own
	if text, err := io.ReadAll(read); err != nil || strings.Count(string(text), "no luck") != 4 {
		t.Errorf("it said %q, %v", text, err)
	}
}

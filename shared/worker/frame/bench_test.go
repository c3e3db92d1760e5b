package frame_test

import (
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"primespark/shared/worker/frame"
)

// BenchmarkRoundTrip asks and is answered by a worker in this process. Beside it
// stands what a bare socket takes for 64 bytes there and back, the least there
// is to be had; "ratio" is the one over the other, of the same run.
func BenchmarkRoundTrip(b *testing.B) {
	client := worker(b, func(c *frame.Conn, m frame.Message, _ *os.File) { reply(b, c, m.Answer(nil)) })
	var bare float64
	b.Run("bare", func(b *testing.B) {
		near, far := bareSocket(b)
		done := make(chan struct{})
		go func() { // ends with near; the end of this benchmark waits for it
			defer close(done)
			_, _ = io.Copy(far, far)
		}()
		var buf [64]byte
		for b.Loop() {
			if _, err := near.Write(buf[:]); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(near, buf[:]); err != nil {
				b.Fatal(err)
			}
		}
		bare = float64(b.Elapsed().Nanoseconds()) / float64(b.N)
		near.Close()
		<-done
	})
	b.Run("call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.Infer(b.Context(), 0, 0, 0); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/bare, "ratio")
	})
}

func bareSocket(b *testing.B) (near, far net.Conn) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	for i, c := range []*net.Conn{&near, &far} {
		f := os.NewFile(uintptr(fds[i]), "bare")
		if *c, err = net.FileConn(f); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	return near, far
}

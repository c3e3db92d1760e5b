package pipenet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"primespark/shared/pipenet"
)

// joined returns both ends of a connection from a to b.
func joined(t *testing.T, n *pipenet.Net) (a, b net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = n.Host("a").Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestConnKeepsThePromisesOfNet(t *testing.T) {
	nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
		var n pipenet.Net
		a, b = joined(t, &n)
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

func TestACutIsNoticedByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n pipenet.Net
		a, b := joined(t, &n)
		n.Cut("a", "b")
		write(t, a, "one")
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		silent(t, b)
		n.Heal()
		if got, err := io.ReadAll(b); string(got) != "one" || err != nil {
			t.Errorf("after the cut %q, %v, want what was written in it", got, err)
		}
	})
}

func TestOneWayCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n pipenet.Net
		a, b := joined(t, &n)
		n.CutOneWay("a", "b")
		if n.Reachable("a", "b") || n.Carries("a", "b") || !n.Carries("b", "a") {
			t.Error("want b -> a only")
		}
		write(t, a, "lost for now")
		silent(t, b)
		write(t, b, "hi")
		read(t, a, "hi")
		n.Heal("a", "b")
		read(t, b, "lost for now")
	})
}

func TestHeal(t *testing.T) {
	for name, test := range map[string]struct {
		heal []string
		want string // the pairs of a, b and c that reach each other
	}{
		"everything":       {nil, "ab ac bc"},
		"one host":         {[]string{"a"}, "ab"}, // c is alone still
		"a pair":           {[]string{"a", "b"}, "ab"},
		"the isolated one": {[]string{"c"}, "bc ac"},
		"by address":       {[]string{"10.77.0.3"}, "bc ac"},
	} {
		var n pipenet.Net
		for _, h := range []string{"a", "b", "c"} {
			n.Host(h)
		}
		n.Cut("a", "b")
		n.Isolate("c")
		n.Heal(test.heal...)
		for _, pair := range []string{"ab", "ac", "bc"} {
			want := strings.Contains(test.want, pair)
			if got := n.Reachable(pair[:1], pair[1:]); got != want {
				t.Errorf("%s: %s reachable %v, want %v", name, pair, got, want)
			}
		}
		if !n.Reachable("c", "c") {
			t.Errorf("%s: an isolated host reaches itself no more", name)
		}
	}
}

func TestDialHangsWhileCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n pipenet.Net
		l := listen(t, n.Host("b"), ":7480")
		defer l.Close()
		n.Isolate("b")
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := n.Host("a").Dial(ctx, "tcp", "b:7480")
		if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() || time.Since(start) != 3*time.Second {
			t.Errorf("dial gave %v after %v, want a timeout after 3 s", err, time.Since(start))
		}
		_, err = n.Host("a").Dial(t.Context(), "tcp", "b:7480")
		if !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("dial without a deadline gave %v, want %v", err, syscall.ETIMEDOUT)
		}
		go func() { time.Sleep(time.Second); n.Heal("b") }()
		c, err := n.Host("a").Dial(t.Context(), "tcp", "b:7480")
		if err != nil {
			t.Fatalf("dial while it heals: %v", err)
		}
		c.Close()
	})
}

func TestDialRefused(t *testing.T) {
	var n pipenet.Net
	a, b := n.Host("a"), n.Host("b")
	defer listen(t, b, "127.0.0.1:7490").Close()
	for addr, want := range map[string]error{
		"b:7480":         syscall.ECONNREFUSED,
		"b:7490":         syscall.ECONNREFUSED, // loopback of b only
		"localhost:7490": syscall.ECONNREFUSED, // loopback of a
	} {
		if _, err := a.Dial(t.Context(), "tcp", addr); !errors.Is(err, want) {
			t.Errorf("dial %s: %v, want %v", addr, err, want)
		}
	}
	if _, err := a.Dial(t.Context(), "tcp", "nowhere:1"); err == nil || !notFound(err) {
		t.Errorf("dial of an unknown host: %v, want no such host", err)
	}
	for _, addr := range []string{"b", "b:http", "b:70000", "b:-1"} {
		if _, err := a.Dial(t.Context(), "tcp", addr); err == nil {
			t.Errorf("dial %q worked", addr)
		}
	}
	if _, err := a.Dial(t.Context(), "udp", "b:7480"); err == nil {
		t.Error("dial of udp worked")
	}
	c, err := b.Dial(t.Context(), "tcp", "localhost:7490")
	if err != nil {
		t.Fatalf("b's own loopback: %v", err)
	}
	c.Close()
}

func TestListen(t *testing.T) {
	var n pipenet.Net
	h := n.Host("10.0.0.9")
	l := listen(t, h, "10.0.0.9:7480")
	if got := l.Addr().String(); got != "10.0.0.9:7480" {
		t.Errorf("address %s, want the host's own", got)
	}
	if _, err := h.Listen(t.Context(), "tcp", ":7480"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listener: %v, want %v", err, syscall.EADDRINUSE)
	}
	if _, err := h.Listen(t.Context(), "tcp", "10.0.0.8:0"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("another host's address: %v, want %v", err, syscall.EADDRNOTAVAIL)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v, want %v", err, net.ErrClosed)
	}
	again := listen(t, h, ":7480")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v, want %v", err, net.ErrClosed)
	}
}

func TestKillResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n pipenet.Net
		a, b := joined(t, &n)
		l := listen(t, n.Host("b"), ":7480")
		write(t, b, "unread")
		n.Kill("b")
		if got, err := io.ReadAll(a); !errors.Is(err, syscall.ECONNRESET) || len(got) > 0 {
			t.Errorf("read %q, %v from a killed host, want %v at once", got, err, syscall.ECONNRESET)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write to a killed host: %v, want %v", err, syscall.ECONNRESET)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept on a killed host: %v, want %v", err, net.ErrClosed)
		}
		listen(t, n.Host("b"), ":7480").Close() // it is started anew
	})
}

func TestAPulledPlugIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n pipenet.Net
		a, _ := joined(t, &n)
		n.Isolate("b")
		n.Kill("b")
		write(t, a, "are you there?")
		silent(t, a)
	})
}

func TestWriteBlocksWhenTheBufferIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n pipenet.Net
		a, b := joined(t, &n)
		if err := a.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		sent, err := a.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || sent != 64<<10 {
			t.Fatalf("wrote %d, %v, want 65536 and a deadline", sent, err)
		}
		go io.Copy(io.Discard, b) // it ends with the connection
		if err := a.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write(make([]byte, 1<<20)); err != nil {
			t.Fatalf("with a reader: %v", err)
		}
	})
}

func listen(t *testing.T, h *pipenet.Host, addr string) net.Listener {
	t.Helper()
	l, err := h.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}

// silent wants nothing to come for an hour, not even an end.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v through a cut", n, err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func notFound(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

package gossip

import (
	"fmt"
	"io"
	"log"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func open(t *testing.T) *sockets {
	t.Helper()
	s, err := listen("127.0.0.1:0", 0, log.New(io.Discard, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *sockets) at() string { return fmt.Sprintf("127.0.0.1:%d", s.port()) }

// TestPackets: what memberlist was given stays as it is when more comes.
func TestPackets(t *testing.T) {
	a, b := open(t), open(t)
	var got []*memberlist.Packet
	for _, text := range []string{"the first one", "the second", "3"} {
		if _, err := a.WriteToAddress([]byte(text), memberlist.Address{Addr: b.at(), Name: "b"}); err != nil {
			t.Fatal(err)
		}
		select {
		case p := <-b.PacketCh():
			got = append(got, p)
		case <-time.After(time.Minute):
			t.Fatalf("%q did not come", text)
		}
	}
	for i, want := range []string{"the first one", "the second", "3"} {
		if p := got[i]; string(p.Buf) != want || p.From.String() != a.at() || p.Timestamp.IsZero() {
			t.Errorf("packet %d is %q from %v at %v, want %q from %s", i, p.Buf, p.From, p.Timestamp, want, a.at())
		}
	}
	if _, err := a.WriteTo([]byte("x"), "nobody:7482"); err == nil {
		t.Error("a name was taken for an address")
	}
}

// TestStreams: a connection comes to the one who listens.
func TestStreams(t *testing.T) {
	a, b := open(t), open(t)
	out, err := a.DialAddressTimeout(memberlist.Address{Addr: b.at()}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	select {
	case in := <-b.StreamCh():
		defer in.Close()
		if in.RemoteAddr().String() != out.LocalAddr().String() {
			t.Errorf("%v came, want %v", in.RemoteAddr(), out.LocalAddr())
		}
	case <-time.After(time.Minute):
		t.Fatal("it did not come")
	}
}

// TestShutdownWithNobodyListening: what came and nobody took does not hold the end up.
func TestShutdownWithNobodyListening(t *testing.T) {
	a, b := open(t), open(t)
	if _, err := a.WriteTo([]byte("hello"), b.at()); err != nil {
		t.Fatal(err)
	}
	out, err := net.Dial("tcp", b.at())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	done := make(chan error, 1)
	go func() { done <- b.Shutdown() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for ever")
	}
}

// BenchmarkReceive is what taking a packet of gossip costs.
func BenchmarkReceive(b *testing.B) {
	s, err := listen("127.0.0.1:0", 0, log.New(io.Discard, "", 0))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Shutdown()
	packet := make([]byte, 400)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.WriteTo(packet, s.at()); err != nil {
			b.Fatal(err)
		}
		<-s.PacketCh()
	}
}

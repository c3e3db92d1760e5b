package gossiptest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/gossiptest"
	"primespark/shared/pipenet"
)

func ExampleNet() {
	var pipe pipenet.Net
	lossy := gossiptest.New(0, 1)
	t, err := lossy.Transport(pipe.Host("pi-1"), ":7482")
	if err != nil {
		panic(err)
	}
	defer t.Shutdown()
	lossy.Send(pipe.Host("pi-2"), t.Addr(), []byte("hello"))
	fmt.Printf("%s\n", (<-t.PacketCh()).Buf)
	// Output: hello
}

func open(t *testing.T, n *gossiptest.Net, h *pipenet.Host) *gossiptest.Transport {
	t.Helper()
	trans, err := n.Transport(h, ":7482")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trans.Shutdown() })
	return trans
}

func TestLossIsAsAskedFor(t *testing.T) {
	var pipe pipenet.Net
	lossy := gossiptest.New(0.25, 1)
	to := open(t, lossy, pipe.Host("b"))
	arrived := 0
	for range 1000 {
		if lossy.Send(pipe.Host("a"), to.Addr(), []byte{1}) {
			<-to.PacketCh()
			arrived++
		}
	}
	if arrived < 700 || arrived > 800 {
		t.Errorf("%d of 1000 packets arrived at a loss of 25 %%", arrived)
	}
}

func TestACutHoldsForPacketsAndStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pipe pipenet.Net
		lossy := gossiptest.New(0, 1)
		a, b := open(t, lossy, pipe.Host("a")), open(t, lossy, pipe.Host("b"))
		pipe.CutOneWay("a", "b")
		if lossy.Send(pipe.Host("a"), b.Addr(), []byte{1}) {
			t.Error("a packet went through the cut")
		}
		if !lossy.Send(pipe.Host("b"), a.Addr(), []byte{1}) {
			t.Error("no packet the other way")
		}
		if _, err := a.DialTimeout(b.Addr(), time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial through the cut: %v, want a timeout", err)
		}
		pipe.Heal()
		c, err := a.DialTimeout(b.Addr(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		(<-b.StreamCh()).Close()
	})
}

func TestAKilledHostIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pipe pipenet.Net
		lossy := gossiptest.New(0, 1)
		a, b := open(t, lossy, pipe.Host("a")), open(t, lossy, pipe.Host("b"))
		pipe.Kill("a")
		synctest.Wait()
		if _, err := a.WriteTo([]byte{1}, b.Addr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write of a killed host: %v, want %v", err, net.ErrClosed)
		}
		if lossy.Send(pipe.Host("b"), a.Addr(), []byte{1}) {
			t.Error("a packet arrived at a killed host")
		}
		open(t, lossy, pipe.Host("a")) // it starts anew
		if !lossy.Send(pipe.Host("b"), a.Addr(), []byte{1}) {
			t.Error("no packet arrived after the restart")
		}
	})
}

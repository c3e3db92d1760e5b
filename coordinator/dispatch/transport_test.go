package dispatch

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDialGivesUpOnASilentPeer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ level, option, want int }{
		"unacknowledged data, ms": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTimeout.Milliseconds())},
		"probes":                  {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"first probe, s":          {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1},
	} {
		err := raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), test.level, test.option); err != nil || got != test.want {
				t.Errorf("%s: %d, %v, want %d", name, got, err, test.want)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}

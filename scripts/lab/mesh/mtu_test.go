package mesh_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// bulkSize is what one bulk transfer carries, in bytes.
const bulkSize = 2 << 20

// A bulk is how a transfer of bulkSize by one TCP connection went.
type bulk struct {
	Millis  int64  `json:"millis"`
	Resent  uint32 `json:"resent"`  // segments
	Segment uint32 `json:"segment"` // bytes of data in one, at most
}

// bulkSink answers each connection with the hash of what came by it.
func bulkSink() error {
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", flowPort))
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		h := sha256.New()
		if _, err := io.Copy(h, c); err == nil {
			_, _ = c.Write(h.Sum(nil)) // the sender sees what is missing
		}
		_ = c.Close()
	}
}

// bulkSend sends once, has the other end say what came, and writes how it went.
func bulkSend(at string) error {
	data := bytes.Repeat([]byte("prime spark "), bulkSize/12)
	begun := time.Now()
	c, err := net.DialTimeout("tcp", net.JoinHostPort(at, strconv.Itoa(flowPort)), 30*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	tcp := c.(*net.TCPConn)
	if _, err := tcp.Write(data); err != nil {
		return err
	}
	if err := tcp.CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(tcp)
	if err != nil {
		return err
	}
	if want := sha256.Sum256(data); !bytes.Equal(got, want[:]) {
		return fmt.Errorf("something else came: %x", got)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	b := bulk{Millis: time.Since(begun).Milliseconds()}
	var info *unix.TCPInfo
	if err := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	b.Resent, b.Segment = info.Total_retrans, info.Snd_mss
	return json.NewEncoder(os.Stdout).Encode(b)
}

// bulk sends from an edge to an address of another one, where a sink is. The first
// connection may come before the sink.
func (l *lab) bulk(t *testing.T, from string, to netip.Addr) (b bulk) {
	t.Helper()
	var out []byte
	var err error
	for range 10 {
		out, err = l.command(t, from, flowEnv+"=bulk "+to.String()).Output()
		if err == nil {
			err = json.Unmarshal(out, &b)
		}
		if err == nil {
			return b
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Fatalf("from %s to %s: %v: %s\n%s", from, to, err, out, l.words())
	return b
}

// underlay sets the size of the largest packet that the cables take; the bridge
// between them follows.
func (l *lab) underlay(t *testing.T, bytes int, names ...string) {
	t.Helper()
	for _, name := range names {
		h := l.hosts[name].Host
		must(t, h.MTU(bytes))
	}
}

// TestMTU has the networks between all nodes take packets of 1280 to 1500 bytes: the
// links' sizes follow, packets of the full size arrive, and so does what TCP carries.
// Then there is a router on the way that takes less than the hosts know of.
func TestMTU(t *testing.T) {
	begin(t)
	l := build(t, 2, 2)
	l.child(t, "pi-2", flowEnv+"=sink")
	l.by(t, "pi-1", "c1")
	l.by(t, "pi-2", "c1")
	for _, bytes := range either([]int{1400}, []int{1280, 1300, 1340, 1360, 1380, 1400, 1420, 1440, 1460, 1480, 1492, 1500}) {
		l.underlay(t, bytes, l.names...)
		want := max(bytes-80, 1280)
		for _, name := range []string{"pi-1", "pi-2"} {
			l.hosts[name].within(t, time.Minute, func(f meshnet.Facts) bool {
				return f.Report.MTU == want && all(f, func(l mesh.Link) bool { return l.Up && l.MTU == want })
			})
		}
		l.full(t, want)
		b := l.bulk(t, "pi-1", l.hosts["pi-2"].address)
		t.Logf("underlay of %d bytes: links of %d, %+v, %.0f Mbit/s", bytes, want, b, float64(bulkSize)*8/1000/float64(b.Millis))
		if int(b.Segment) > want-60 || int(b.Segment) < want-100 { // IPv6 and TCP take 60 bytes, and options 12
			t.Errorf("over links of %d bytes TCP sends %d at once", want, b.Segment)
		}
	}
}

// full has packets of the links' full size go to and fro, until some pass.
func (l *lab) full(t *testing.T, size int) {
	t.Helper()
	payload := strconv.Itoa(size - 48) // IPv6 and ICMPv6 take 48 bytes
	line := l.hosts["pi-1"].Under("ping", "-6", "-M", "do", "-c", "3", "-i", "0.2", "-W", "5", "-s", payload, l.hosts["pi-2"].address.String())
	var out []byte
	var err error
	for range 20 {
		if out, err = exec.Command(line[0], line[1:]...).CombinedOutput(); err == nil {
			return
		}
	}
	t.Fatalf("no packet of %d bytes passes: %v\n%s\n%s", size, err, out, l.words())
}

func all(f meshnet.Facts, ok func(mesh.Link) bool) bool {
	for _, l := range f.Report.Links {
		if !ok(l) {
			return false
		}
	}
	return len(f.Report.Links) > 0
}

package mesh_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The flow is a packet each 20 ms that the other end sends back. Both ends are this
// program again, in the namespaces of two edges.
const (
	flowEnv   = "PRIME_SPARK_MESH_FLOW"
	flowEvery = 20 * time.Millisecond
	flowLate  = 1500 * time.Millisecond // an answer after that comes too late
	flowAfter = 75                      // packets that are sent after those of a tally, before it is told
	flowPort  = 7482                    // gossip's, which members may send to
)

// A tally is what became of the packets of a flow since it was asked last.
type tally struct {
	Sent   int   `json:"sent"`
	Lost   int   `json:"lost"`      // not back in time
	Late   int   `json:"late"`      // of these, back all the same: the host stood still meanwhile
	Outage int64 `json:"outage_ms"` // the longest time in which no packet that was sent came back
}

// gone is how many packets never came back.
func (t tally) gone() int { return t.Lost - t.Late }

func (t tally) outage() time.Duration { return time.Duration(t.Outage) * time.Millisecond }

// flowMain is the whole life of a process that is an end of a flow.
func flowMain() {
	var err error
	switch to := os.Getenv(flowEnv); to {
	case "":
		return
	case "echo":
		err = flowEcho(nil)
	case "sink":
		err = bulkSink()
	case "daemon":
		err = daemonMain()
	default:
		if at, ok := strings.CutPrefix(to, "bulk "); ok {
			err = bulkSend(at)
			break
		}
		if at, ok := strings.CutPrefix(to, "echo at "); ok {
			err = flowEcho(net.ParseIP(at))
			break
		}
		err = flowSend(to)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "flow:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// flowEcho answers at an address of this host; at all of them, if it is nil.
func flowEcho(at net.IP) error {
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: at, Port: flowPort})
	if err != nil {
		return err
	}
	b := make([]byte, 1500)
	for {
		n, from, err := c.ReadFromUDP(b)
		if err != nil {
			return err
		}
		_, _ = c.WriteToUDP(b[:n], from) // a packet that is lost is what is counted
	}
}

// flowSend sends until standard input ends. For each line of it, it writes a tally.
func flowSend(to string) error {
	c, err := net.ListenUDP("udp6", nil)
	if err != nil {
		return err
	}
	addr, err := net.ResolveUDPAddr("udp6", net.JoinHostPort(to, fmt.Sprint(flowPort)))
	if err != nil {
		return err
	}
	var mu sync.Mutex
	back := map[uint32]bool{} // and whether in time
	go func() {
		b := make([]byte, 1500)
		for {
			n, err := c.Read(b)
			if err != nil {
				continue // an error that an earlier packet brought
			}
			if n >= 12 {
				mu.Lock()
				back[binary.BigEndian.Uint32(b)] = time.Since(time.UnixMicro(int64(binary.BigEndian.Uint64(b[4:])))) < flowLate
				mu.Unlock()
			}
		}
	}()
	type mark struct {
		at   time.Time
		upto uint32
	}
	asked := make(chan struct{})
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			asked <- struct{}{}
		}
		os.Exit(0)
	}()
	var seq, from uint32
	var due []mark
	tick := time.NewTicker(flowEvery)
	b := make([]byte, 200)
	for {
		select {
		case <-asked:
			due = append(due, mark{time.Now().Add(flowLate), seq})
		case <-tick.C:
			seq++
			binary.BigEndian.PutUint32(b, seq)
			binary.BigEndian.PutUint64(b[4:], uint64(time.Now().UnixMicro()))
			_, _ = c.WriteToUDP(b, addr)
		}
		if len(due) == 0 || time.Now().Before(due[0].at) || seq < due[0].upto+flowAfter {
			continue // on a host that stands still, time passes and nothing is sent
		}
		var t tally
		run := int64(0)
		mu.Lock()
		for i := from + 1; i <= due[0].upto; i++ {
			t.Sent++
			intime, came := back[i]
			if intime {
				run = 0
			} else {
				t.Lost++
				if came {
					t.Late++
				}
				run += flowEvery.Milliseconds()
			}
			t.Outage = max(t.Outage, run)
			delete(back, i)
		}
		mu.Unlock()
		from, due = due[0].upto, due[1:]
		if err := json.NewEncoder(os.Stdout).Encode(t); err != nil {
			return err
		}
	}
}

// A flow runs from one edge to another.
type flow struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

// flow begins one, and waits for the first packet to come back.
func (l *lab) flow(t *testing.T, from, to string) *flow {
	t.Helper()
	l.child(t, to, flowEnv+"=echo at "+l.hosts[to].address.String())
	cmd := l.command(t, from, flowEnv+"="+l.hosts[to].address.String())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, cmd)
	f := &flow{in, bufio.NewScanner(out)}
	for range 20 {
		if got := f.tally(t); got.Lost < got.Sent {
			return f
		}
	}
	t.Fatalf("no packet from %s to %s comes back\n%s", from, to, l.words())
	return nil
}

// tally asks what became of the packets sent so far; the answer comes when the last
// of them had its time.
func (f *flow) tally(t *testing.T) (got tally) {
	t.Helper()
	if _, err := io.WriteString(f.in, "\n"); err != nil {
		t.Fatal(err)
	}
	if !f.out.Scan() {
		t.Fatalf("the flow has ended: %v", f.out.Err())
	}
	if err := json.Unmarshal(f.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// command is this program again, on a host.
func (l *lab) command(t *testing.T, host, env string) *exec.Cmd {
	t.Helper()
	line := l.hosts[host].Under("/proc/self/exe")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line[len(line)-1] = self
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	return cmd
}

func (l *lab) child(t *testing.T, host, env string) {
	t.Helper()
	start(t, l.command(t, host, env))
}

// parent does things on one thread that lives as long as this process: the kernel
// sends a child its death signal when the thread ends that started it (prctl(2),
// PR_SET_PDEATHSIG), and threads of Go end when a goroutine that has locked one does.
var parent = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() { // ends with the process
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// start starts a process that ends with the test, and with this process.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	parent() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

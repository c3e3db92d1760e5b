package systest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"primespark/agent/outbox"
	"primespark/agent/record"
	"primespark/agent/uplink"
	"primespark/coordinator/fsm"
	"primespark/coordinator/history"
	"primespark/coordinator/ingest"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/mqttpipe"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

// Delivery is tried with processes that are killed: a broker of somebody else's,
// a node (outbox and uplink) and three coordinators' ingest and history, which are
// this test binary in other roles. Who leads they read from a file.
const roleVariable = "PRIME_SPARK_DELIVERY_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "node":
		err = beNode()
	case "holder":
		err = beHolder()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var deliveryTopics = telemetry.Topics{Prefix: "primespark", Cluster: "home", Node: "pi-1"}

// openOutbox opens an outbox that commits as an agent's does.
func openOutbox(dir string) (*outbox.Box, error) {
	return outbox.Open(outbox.Config{
		Dir: dir, MaxSize: 1 << 30, MaxAge: time.Hour, Every: func() time.Duration { return time.Second },
		Conditions: health.New(nil), Log: slog.New(slog.DiscardHandler),
	})
}

// beNode measures so many samples at a pace, says which are on its disk, and ends
// when all of them are acknowledged. With ACK=broker in the environment it takes
// the broker's word, and then this test fails by some thousand samples.
func beNode() error {
	count, err := strconv.Atoi(os.Getenv("COUNT"))
	if err != nil {
		return err
	}
	box, err := openOutbox(os.Getenv("DIR"))
	if err != nil {
		return err
	}
	before, _ := box.Last()
	boot := time.Now()
	rec := record.New(boot, box)
	up, err := uplink.New(uplink.Config{Broker: "tcp://" + os.Getenv("BROKER"), Topics: deliveryTopics, Box: box, AckByBroker: os.Getenv("ACK") == "broker"}, rec, slog.New(slog.NewTextHandler(os.Stderr, nil)), nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- run.All(ctx, box, up) }()
	made := 0
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		for range min(25, count-made) {
			made++
			if err := rec.Record("load", telemetry.Number(float64(made), "")); err != nil {
				return err
			}
		}
		last, _ := box.Last()
		fmt.Println("kept", boot.UnixMilli(), last-before)
		if made == count && last-before == uint64(count) && box.Waiting() == 0 {
			fmt.Println("empty")
			break
		}
	}
	stop()
	return <-done
}

// A wirePage is a page of the log, on the way between two holders.
type wirePage struct {
	ID          string
	First, Last uint64
	Rows        []byte
}

// holders are where the coordinators' processes listen.
func holders() map[string]string {
	all := map[string]string{}
	for one := range strings.FieldsSeq(os.Getenv("HOLDERS")) {
		name, at, _ := strings.Cut(one, "=")
		all[name] = at
	}
	return all
}

// beHolder stores history, and listens to the broker while it leads.
func beHolder() error {
	self := os.Getenv("SELF")
	store, err := history.Open(history.Config{Dir: os.Getenv("DIR"), MaxSize: 1 << 30, Raw: time.Hour, Minutes: time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	state := fsm.State{Nodes: map[string]fsm.Node{"pi-1": {Name: "pi-1", Role: fleet.Agent, State: fsm.Approved}}}
	for name, at := range holders() {
		state.Nodes[name] = fsm.Node{Name: name, Role: fleet.Coordinator, State: fsm.Approved, Addresses: identity.Addresses{API: at}}
	}
	intake, err := ingest.New(ingest.Config{
		Self: self, Store: store, State: func() fsm.State { return state }, Conditions: health.New(nil), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	broker, err := mqttpipe.Parse("tcp://" + os.Getenv("BROKER"))
	if err != nil {
		return err
	}
	pipe := mqttpipe.Config{Broker: broker, ClientID: "home." + self, Dial: new(net.Dialer).DialContext}
	serve := func(w http.ResponseWriter, r *http.Request) {
		v := r.URL.Query()
		after, err := strconv.ParseUint(v.Get("after"), 10, 64)
		page, failed := intake.Log(r.Context(), v.Get("peer"), v.Get("id"), after, 5*time.Second)
		if err := errors.Join(err, failed); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = gob.NewEncoder(w).Encode(wirePage{page.ID, page.First, page.Last, history.EncodeRows(page.Rows)}) // who reads it notices
	}
	go func() { _ = http.ListenAndServe(holders()[self], http.HandlerFunc(serve)) }() // ends with the process
	read := func(ctx context.Context, peer, address, id string, after uint64, _ time.Duration) (history.Page, error) {
		q := url.Values{"peer": {self}, "id": {id}, "after": {strconv.FormatUint(after, 10)}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/?"+q.Encode(), nil)
		if err != nil {
			return history.Page{}, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return history.Page{}, err
		}
		defer res.Body.Close()
		var p wirePage
		if err := gob.NewDecoder(res.Body).Decode(&p); err != nil {
			return history.Page{}, err
		}
		rows, err := history.DecodeRows(p.Rows, p.First)
		return history.Page{ID: p.ID, First: p.First, Last: p.Last, Rows: rows}, err
	}
	leads := func() bool {
		name, err := os.ReadFile(os.Getenv("LEADER"))
		return err == nil && string(name) == self
	}
	listen := run.Func("listener", func(ctx context.Context) error {
		for ctx.Err() == nil {
			if !leads() {
				run.Sleep(ctx, 20*time.Millisecond)
				continue
			}
			term, end := context.WithCancel(ctx)
			done := make(chan error, 1)
			go func() { done <- intake.Listen(pipe, "primespark", "home").Run(term) }()
			for leads() && run.Sleep(ctx, 20*time.Millisecond) {
			}
			end()
			if err := <-done; err != nil {
				return err
			}
		}
		return nil
	})
	return run.All(context.Background(), store, intake.Follow(read), listen)
}

// A site is the processes of a delivery.
type site struct {
	t    *testing.T
	dir  string
	at   string // the broker
	env  []string
	mu   sync.Mutex
	kept map[string]uint64 // by boot: samples that a node said it has on disk
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts a process; kill ends it as the power does.
func (s *site) start(out func(line string), name string, args []string, env ...string) (cmd *exec.Cmd, kill func()) {
	s.t.Helper()
	cmd = exec.Command(name, args...)
	cmd.Env = append(append(os.Environ(), s.env...), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	cmd.Stderr = &log
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			out(lines.Text())
		}
	}()
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
		_ = cmd.Wait()
	})
	s.t.Cleanup(func() {
		kill()
		if s.t.Failed() {
			s.t.Logf("%s %s says:\n%.3000s", name, env, &log)
		}
	})
	return cmd, kill
}

func (s *site) note(line string) {
	fields := strings.Fields(line)
	if len(fields) != 3 || fields[0] != "kept" {
		return
	}
	n, err := strconv.ParseUint(fields[2], 10, 64)
	if err != nil {
		s.t.Errorf("a node says %q", line)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[fields[1]] = n
}

func (s *site) total() (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kept {
		n += k
	}
	return n
}

// until waits until that many samples were kept in all.
func (s *site) until(n uint64) {
	s.t.Helper()
	for end := time.Now().Add(2 * time.Minute); s.total() < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%d samples were measured, want %d by now", s.total(), n)
		}
	}
}

// newSite readies a site of three coordinators, of which c1 leads. Nothing runs yet.
func newSite(t *testing.T) *site {
	t.Helper()
	if _, err := os.Stat(mosquitto); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("mosquitto is not installed")
		}
		t.Skip("mosquitto is not installed; apt install mosquitto")
	}
	s := &site{t: t, dir: t.TempDir(), at: free(t), kept: map[string]uint64{}}
	_, port, err := net.SplitHostPort(s.at)
	if err != nil {
		t.Fatal(err)
	}
	text := "listener " + port + " 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\nmax_queued_messages 1000\n"
	if err := os.WriteFile(filepath.Join(s.dir, "mosquitto.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"BROKER=" + s.at, "LEADER=" + filepath.Join(s.dir, "leader"), "HOLDERS=c1=" + free(t) + " c2=" + free(t) + " c3=" + free(t)}
	s.lead("c1")
	return s
}

const mosquitto = "/usr/sbin/mosquitto"

func nobody(string) {}

// broker starts the broker, which remembers nothing of an earlier life.
func (s *site) broker() (kill func()) {
	s.t.Helper()
	_, kill = s.start(nobody, mosquitto, []string{"-c", filepath.Join(s.dir, "mosquitto.conf")})
	return kill
}

// holder starts a coordinator.
func (s *site) holder(name string) (kill func()) {
	s.t.Helper()
	own := filepath.Join(s.dir, name)
	if err := os.MkdirAll(own, 0o700); err != nil {
		s.t.Fatal(err)
	}
	_, kill = s.start(nobody, os.Args[0], nil, roleVariable+"=holder", "SELF="+name, "DIR="+own)
	return kill
}

// lead says who leads.
func (s *site) lead(name string) {
	s.t.Helper()
	file := filepath.Join(s.dir, "leader")
	if err := errors.Join(os.WriteFile(file+".new", []byte(name), 0o600), os.Rename(file+".new", file)); err != nil {
		s.t.Fatal(err)
	}
}

// TestDelivery: nothing that a node had on its disk is missing, or out of order,
// in the history of the coordinators that are left, after the broker was killed
// three times and forgot everything, its listener came back late, the node was
// killed while it sent, and the leading coordinator was killed for good.
func TestDelivery(t *testing.T) {
	const samples = 50_000 / fewer
	s := newSite(t)
	killBroker := s.broker()
	kills := map[string]func(){}
	for _, name := range []string{"c1", "c2", "c3"} {
		kills[name] = s.holder(name)
	}
	box := filepath.Join(s.dir, "pi-1")
	if err := os.Mkdir(box, 0o700); err != nil {
		t.Fatal(err)
	}
	node := func(count uint64, out func(string)) func() {
		_, kill := s.start(func(line string) { s.note(line); out(line) }, os.Args[0], nil,
			roleVariable+"=node", "DIR="+box, "COUNT="+strconv.FormatUint(count, 10))
		return kill
	}
	begin := time.Now()
	killNode := node(samples, nobody)
	for i := range uint64(3) {
		s.until(5000 / fewer * (i + 1))
		killBroker()
		s.lead("") // nobody listens when the broker is back and the node sends
		time.Sleep(500 * time.Millisecond)
		killBroker = s.broker()
		time.Sleep(2 * time.Second)
		s.lead("c1")
	}
	s.until(25_000 / fewer)
	killNode()
	before := s.total()
	empty := make(chan struct{})
	node(samples-before, func(line string) {
		if line == "empty" {
			close(empty)
		}
	})
	s.until(35_000 / fewer)
	kills["c1"]()
	time.Sleep(500 * time.Millisecond)
	s.lead("c2")
	select {
	case <-empty:
	case <-time.After(2 * time.Minute):
		t.Fatal("the node's outbox does not become empty")
	}
	took := time.Since(begin)
	time.Sleep(time.Second) // the third follows
	for _, name := range []string{"c2", "c3"} {
		kills[name]()
		missing, rows := s.missing(filepath.Join(s.dir, name))
		if missing > 0 {
			t.Errorf("%s: %d of %d samples are missing or there twice", name, missing, s.total())
		}
		t.Logf("%s: %d rows, %d of %d missing", name, rows, missing, s.total())
	}
	t.Logf("%d samples in %v", s.total(), took.Round(time.Millisecond))
}

// missing counts what a store lacks of what nodes had on disk, and what it has
// twice.
func (s *site) missing(dir string) (missing uint64, rows int) {
	s.t.Helper()
	store, err := history.Open(history.Config{Dir: dir, MaxSize: 1 << 30, Raw: time.Hour, Minutes: time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	have := map[string]map[uint64]bool{}
	for n := uint64(0); ; {
		page, err := store.After(n, 5000)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			n = r.N
			boot := strconv.FormatInt(r.Boot, 10)
			if have[boot] == nil {
				have[boot] = map[uint64]bool{}
			}
			if have[boot][r.Seq] || r.Value.Number() != float64(r.Seq) {
				missing++
			}
			have[boot][r.Seq] = true
			rows++
		}
	}
	for boot, kept := range s.kept {
		for seq := uint64(1); seq <= kept; seq++ {
			if !have[boot][seq] {
				missing++
			}
		}
	}
	return missing, rows
}

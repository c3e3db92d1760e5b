package figures_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"primespark/shared/wire"
)

// For so long each side writes at a time, and so often.
const (
	writeTime  = 3 * time.Second
	writeTurns = 2
)

// What one write carries: a task's input, and a value of etcd.
const writeInput = `{"ms":1,"fail":"the same bytes that etcd is given as a value, no more and no less than these are"}`

// BenchmarkWritesAgainstEtcd has 1, 32 and 128 clients hand tasks in at the leader
// of three coordinators, and put values at the leader of three etcd, by turns. Each
// client has a connection of its own, without TLS; all sync to the same disk. Our
// coordinators talk to each other by mutual TLS, so there is an etcd whose members
// encrypt as well (tls), beside one as Debian starts it. What ours does besides: a
// queue instead of a map.
func BenchmarkWritesAgainstEtcd(b *testing.B) {
	for _, clients := range []int{1, 32, 128} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			sides := []side{
				{"etcd", true, etcd(b, "http")},
				{"etcd-tls", true, etcd(b, "https", "--peer-auto-tls")},
				{"tasks", false, tasks(b)}, // a queue of its own: it is bounded
			}
			sums := map[string]float64{}
			for range writeTurns {
				for _, s := range sides {
					sums[s.name] += rate(b, clients, s)
				}
			}
			for name, sum := range sums {
				b.ReportMetric(sum/writeTurns, name+"/s")
			}
			b.ReportMetric(sums["tasks"]/sums["etcd"], "ratio")
			b.ReportMetric(sums["tasks"]/sums["etcd-tls"], "ratio-tls")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// A side is what clients write to, over HTTP/1.1 or 2.
type side struct {
	name string
	h2   bool
	with func(*http.Client) (write func() error)
}

// tasks starts three coordinators and returns how to hand a task in at their leader.
func tasks(b *testing.B) func(*http.Client) func() error {
	b.Helper()
	r := coordinators(b, "")
	first, _ := leader(b, r)
	const body = `{"kind":"noop","input":` + writeInput + `}`
	return func(c *http.Client) func() error {
		return func() error {
			res, err := c.Post("http://"+first.Loopback+wire.PathTasks, "application/json", strings.NewReader(body))
			if err != nil {
				return err
			}
			defer res.Body.Close()
			answer, err := io.ReadAll(res.Body)
			if err == nil && res.StatusCode != http.StatusCreated {
				err = fmt.Errorf("%s: %s", res.Status, answer)
			}
			return err
		}
	}
}

// rate is how many writes a second clients do.
func rate(b *testing.B, clients int, to side) float64 {
	b.Helper()
	var done atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	end := start.Add(writeTime)
	for range clients {
		all.Go(func() {
			var p http.Protocols
			p.SetHTTP1(!to.h2)
			p.SetUnencryptedHTTP2(to.h2)
			t := &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, Protocols: &p}
			defer t.CloseIdleConnections()
			write := to.with(&http.Client{Transport: t, Timeout: 10 * time.Second})
			for time.Now().Before(end) {
				if err := write(); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(start).Seconds()
}

// etcd starts three members on loopback that talk to each other by a scheme, with
// etcd's own timing and syncing, and returns how to put a value at their leader.
func etcd(b *testing.B, scheme string, more ...string) func(*http.Client) func() error {
	b.Helper()
	program, err := exec.LookPath("etcd")
	if err != nil {
		b.Skip("there is no etcd on this machine; apt-get install etcd-server brings it")
	}
	dir := b.TempDir()
	var client, peer, cluster [3]string
	for i := range 3 {
		client[i], peer[i] = free(b), free(b)
		cluster[i] = fmt.Sprintf("e%d=%s://%s", i, scheme, peer[i])
	}
	for i := range 3 {
		log, err := os.Create(filepath.Join(dir, fmt.Sprintf("e%d.log", i)))
		if err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(program, append(more, "--name", fmt.Sprintf("e%d", i), "--data-dir", filepath.Join(dir, fmt.Sprintf("e%d", i)),
			"--listen-client-urls", "http://"+client[i], "--advertise-client-urls", "http://"+client[i],
			"--listen-peer-urls", scheme+"://"+peer[i], "--initial-advertise-peer-urls", scheme+"://"+peer[i],
			"--initial-cluster", strings.Join(cluster[:], ","), "--initial-cluster-state", "new", "--logger", "zap", "--log-level", "error")...)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := errors.Join(cmd.Process.Kill(), log.Close()); err != nil {
				b.Error(err)
			}
			_ = cmd.Wait() // it was killed
		})
	}
	at := ""
	for end := time.Now().Add(30 * time.Second); at == ""; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("etcd has no leader after 30 s")
		}
		for _, c := range client {
			if leads(b.Context(), c) {
				at = c
			}
		}
	}
	var count atomic.Uint64
	return func(c *http.Client) func() error {
		return func() error { return etcdPut(c, at, fmt.Sprintf("task/%020d", count.Add(1)), writeInput) }
	}
}

// leads asks an etcd whether it leads.
func leads(ctx context.Context, at string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at+"/v3/maintenance/status", strings.NewReader("{}"))
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	var s struct {
		Header struct {
			Member string `json:"member_id"`
		} `json:"header"`
		Leader string `json:"leader"`
	}
	return json.NewDecoder(res.Body).Decode(&s) == nil && s.Leader != "" && s.Leader == s.Header.Member
}

// etcdPut is etcdserverpb.KV/Put by gRPC: a message with a prefix of 5 bytes over
// HTTP/2, whose outcome is in the trailer. The message has the key as field 1 and
// the value as field 2.
func etcdPut(c *http.Client, at, key, value string) error {
	var m []byte
	for i, field := range []string{key, value} {
		m = append(m, byte(i+1)<<3|2)
		m = binary.AppendUvarint(m, uint64(len(field)))
		m = append(m, field...)
	}
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
	req, err := http.NewRequest(http.MethodPost, "http://"+at+"/etcdserverpb.KV/Put", bytes.NewReader(frame))
	if err != nil {
		return err
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if s := res.Trailer.Get("Grpc-Status"); s != "0" {
		return fmt.Errorf("etcd answers %q %s", s, res.Trailer.Get("Grpc-Message"))
	}
	return nil
}

// free is an address of loopback that was free a moment ago.
func free(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

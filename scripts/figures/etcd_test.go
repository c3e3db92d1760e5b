package figures_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Etcds are three members of etcd on loopback, with etcd's own timing and syncing.
type etcds struct {
	client [3]string // where clients call each
	args   [3][]string
	cmds   [3]*exec.Cmd
	log    *os.File
}

// newEtcds starts three members that talk to each other by a scheme.
func newEtcds(b *testing.B, scheme string, more ...string) *etcds {
	b.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		b.Skip("there is no etcd on this machine; apt-get install etcd-server brings it")
	}
	dir := b.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	e := &etcds{log: log}
	b.Cleanup(func() {
		for _, cmd := range e.cmds {
			if cmd != nil {
				if err := cmd.Process.Kill(); err != nil {
					b.Error(err)
				}
				_ = cmd.Wait() // it was killed
			}
		}
		if err := log.Close(); err != nil {
			b.Error(err)
		}
	})
	var peer, cluster [3]string
	for i := range 3 {
		e.client[i], peer[i] = free(b), free(b)
		cluster[i] = fmt.Sprintf("e%d=%s://%s", i, scheme, peer[i])
	}
	for i := range 3 {
		e.args[i] = append(more[:len(more):len(more)], "--name", fmt.Sprintf("e%d", i), "--data-dir", filepath.Join(dir, fmt.Sprintf("e%d", i)),
			"--listen-client-urls", "http://"+e.client[i], "--advertise-client-urls", "http://"+e.client[i],
			"--listen-peer-urls", scheme+"://"+peer[i], "--initial-advertise-peer-urls", scheme+"://"+peer[i],
			"--initial-cluster", strings.Join(cluster[:], ","), "--initial-cluster-state", "new", "--logger", "zap", "--log-level", "error")
		e.start(b, i)
	}
	return e
}

// start starts a member.
func (e *etcds) start(b *testing.B, i int) {
	b.Helper()
	cmd := exec.Command("etcd", e.args[i]...)
	cmd.Stdout, cmd.Stderr = e.log, e.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	e.cmds[i] = cmd
}

// stop stops a member in order.
func (e *etcds) stop(b *testing.B, i int) {
	b.Helper()
	cmd := e.cmds[i]
	e.cmds[i] = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	_ = cmd.Wait() // it tells of the signal
}

// leader is the address of the one who leads.
func (e *etcds) leader(b *testing.B) string {
	b.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("etcd has no leader after 30 s")
		}
		for _, c := range e.client {
			if leads(b.Context(), c) {
				return c
			}
		}
	}
}

// put returns how to put a value at the leader, under a key that no other has.
func (e *etcds) put(b *testing.B, value string) func(*http.Client) func() error {
	b.Helper()
	at := e.leader(b)
	var count atomic.Uint64
	return func(c *http.Client) func() error {
		return func() error { return etcdPut(c, at, fmt.Sprintf("task/%020d", count.Add(1)), value) }
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

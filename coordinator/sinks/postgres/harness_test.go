package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A server is a real PostgreSQL of the test's own, on a loopback port, in a
// directory that goes with it.
type server struct {
	t    testing.TB
	bin  string
	dir  string
	port string
	as   *syscall.SysProcAttr // PostgreSQL refuses to run as root
}

// need skips a test that lacks something, and fails it where nothing may lack.
func need(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// start makes a server with the user prime, whose password is secret.
func start(t testing.TB) *server {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		need(t, "PostgreSQL is not installed; apt install postgresql-15")
	}
	dir, err := os.MkdirTemp("", "prime-spark-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{t: t, bin: filepath.Dir(found[len(found)-1]), dir: dir, port: freePort(t)}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.unprivileged(dir, password)
	s.run("initdb", "-D", s.data(), "-U", "prime", "--auth=scram-sha-256", "--pwfile="+password, "-E", "UTF8", "--no-sync")
	s.up()
	t.Cleanup(func() { s.down("immediate") })
	return s
}

// unprivileged has root run the server as nobody, whose the paths become.
func (s *server) unprivileged(paths ...string) {
	s.t.Helper()
	if os.Getuid() != 0 {
		return
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		s.t.Fatal(err)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range paths {
		if err := os.Chown(p, int(uid), int(gid)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

func (s *server) up() {
	s.t.Helper()
	options := fmt.Sprintf("-h 127.0.0.1 -p %s -k %s", s.port, s.dir)
	s.run("pg_ctl", "start", "-w", "-t", "30", "-D", s.data(), "-l", filepath.Join(s.dir, "log"), "-o", options)
}

func (s *server) down(mode string) {
	s.t.Helper()
	s.run("pg_ctl", "stop", "-w", "-t", "30", "-m", mode, "-D", s.data())
}

func (s *server) run(name string, args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr, cmd.Dir = &out, &out, s.as, s.dir
	cmd.Env = append(os.Environ(), "PGPASSWORD=secret")
	// The server that pg_ctl leaves behind keeps the pipe of its output open.
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil && err != exec.ErrWaitDelay {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log")) // there may be none yet
		s.t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, &out, log)
	}
	return out.String()
}

func (s *server) url() string { return "postgres://prime@127.0.0.1:" + s.port + "/postgres" }

// query returns the one value that a query has.
func query[T any](s *server, sql string, args ...any) T {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, strings.Replace(s.url(), "prime@", "prime:secret@", 1))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

package download

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"primespark/shared/problem"
)

var content = []byte(strings.Repeat("a model ", 50_000))

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// A site serves the content, and whatever a test adds.
type site struct {
	*httptest.Server
	asked atomic.Int64
	sent  atomic.Int64
}

func newSite(t *testing.T, serve func(s *site, w http.ResponseWriter, r *http.Request)) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		serve(s, w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func whole(_ *site, w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "pets.tar", time.Time{}, bytes.NewReader(content))
}

func (s *site) getter() Getter {
	return Getter{Transport: func(bool) http.RoundTripper { return s.Client().Transport }, Pause: time.Millisecond}
}

func TestGet(t *testing.T) {
	s := newSite(t, whole)
	path := filepath.Join(t.TempDir(), "pets.tar")
	g := s.getter()
	var last, all int64
	g.Progress = func(done, of int64) { last, all = done, of }
	if err := g.Get(t.Context(), File{s.URL, sum(content), path}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if last != int64(len(content)) || all != last {
		t.Errorf("progress ends at %d of %d", last, all)
	}
	if _, err := os.Stat(path + ".part"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a file is left: %v", err)
	}
}

// TestResume: each connection breaks off after 64 KiB, and each goes on.
func TestResume(t *testing.T) {
	s := newSite(t, func(s *site, w http.ResponseWriter, r *http.Request) {
		part := &cut{w, 64 << 10}
		defer func() {
			s.sent.Add(int64(64<<10 - part.left))
			if part.left == 0 {
				panic(http.ErrAbortHandler)
			}
		}()
		whole(s, part, r)
	})
	path := filepath.Join(t.TempDir(), "pets.tar")
	if err := os.WriteFile(path+".part", content[:100_000], 0o600); err != nil { // of an earlier run
		t.Fatal(err)
	}
	if err := s.getter().Get(t.Context(), File{s.URL, sum(content), path}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := s.sent.Load(); n > int64(len(content)-100_000)+32<<10 {
		t.Errorf("%d bytes were sent for the rest of %d", n, len(content)-100_000)
	}
}

// A cut lets so many bytes through.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	n, err := c.ResponseWriter.Write(b[:n])
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

func TestServersThatCannotResume(t *testing.T) {
	s := newSite(t, func(_ *site, w http.ResponseWriter, _ *http.Request) { w.Write(content) })
	path := filepath.Join(t.TempDir(), "pets.tar")
	if err := os.WriteFile(path+".part", []byte("half of something"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.getter().Get(t.Context(), File{s.URL, sum(content), path}); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		serve func(*site, http.ResponseWriter, *http.Request)
		url   string // the site's if empty
		code  problem.Code
		want  string
		asked int64
	}{
		"another file":        {func(_ *site, w http.ResponseWriter, _ *http.Request) { w.Write([]byte("another")) }, "", problem.Conflict, "has the SHA-256 " + sum([]byte("another")), 1},
		"not there":           {func(_ *site, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "", problem.Invalid, "answers 404", 1},
		"a server in trouble": {func(_ *site, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "", problem.Unreachable, "answers 503", attempts + 1},
		"for ever elsewhere":  {func(_ *site, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "", problem.Invalid, "redirects more than 5 times", maxHops + 1},
		"to plain HTTP": {func(_ *site, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://example.org/", http.StatusFound)
		}, "", problem.Invalid, "is not of HTTPS", 1},
		"another part": {func(_ *site, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 7-9/10")
			w.WriteHeader(http.StatusPartialContent)
		}, "", problem.Unreachable, "another part", attempts + 1},
		"plain HTTP":   {whole, "http://example.org/pets.tar", problem.Invalid, "is not of HTTPS", 0},
		"a path":       {whole, "pets.tar", problem.Invalid, "is none", 0},
		"a password":   {whole, "https://ada:secret@example.org/x", problem.Invalid, "holds a password", 0},
		"nobody there": {whole, "https://127.0.0.1:1/x", problem.Unreachable, "never made", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, test.serve)
			f := File{s.URL, sum(content), filepath.Join(t.TempDir(), "pets.tar")}
			if test.url != "" {
				f.URL = test.url
			}
			err := s.getter().Get(t.Context(), f)
			if !problem.Is(err, test.code) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s %q", err, test.code, test.want)
			}
			if n := s.asked.Load(); n != test.asked {
				t.Errorf("it was asked %d times, want %d", n, test.asked)
			}
			if _, err := os.Stat(f.Path); err == nil {
				t.Error("there is a file")
			}
		})
	}
}

// TestNoRedirectInside: the user's own address may be private; where it leads may not,
// by whatever name.
func TestNoRedirectInside(t *testing.T) {
	inside := newSite(t, whole)
	for name, to := range map[string]string{
		"by address": inside.URL,
		"by name":    strings.Replace(inside.URL, "127.0.0.1", "localhost", 1),
		"by IPv6":    "https://[::1]:1/",
		"mapped":     "https://[::ffff:127.0.0.1]:1/",
		"metadata":   "https://169.254.169.254/latest/",
	} {
		t.Run(name, func(t *testing.T) {
			outside := newSite(t, func(_ *site, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
			g := outside.getter()
			g.Transport = func(strict bool) http.RoundTripper {
				if strict {
					return public
				}
				return outside.Client().Transport
			}
			err := g.Get(t.Context(), File{outside.URL, sum(content), filepath.Join(t.TempDir(), "x")})
			if !problem.Is(err, problem.Forbidden) || !strings.Contains(err.Error(), "private network") {
				t.Errorf("%v", err)
			}
		})
	}
	if n := inside.asked.Load(); n != 0 {
		t.Errorf("the inside was asked %d times", n)
	}
}

func TestOnlyPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1:248:1893:25c8:1946]:443": true,
		"127.0.0.1:443": false, "10.1.2.3:443": false, "172.16.0.1:443": false, "192.168.1.1:443": false, "169.254.169.254:80": false,
		"100.64.0.1:443": false, "0.0.0.0:443": false, "255.255.255.255:443": false, "224.0.0.1:443": false, "198.18.0.1:443": false,
		"[::1]:443": false, "[::]:443": false, "[fd00::1]:443": false, "[fe80::1%eth0]:443": false, "[::ffff:10.0.0.1]:443": false, "[64:ff9b::a00:1]:443": false, "[2002:a00:1::]:443": false,
		"nonsense": false,
	} {
		if got := onlyPublic(address) == nil; got != want {
			t.Errorf("%s: public %t", address, got)
		}
	}
}

func TestGetEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSite(t, func(_ *site, w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	if err := s.getter().Get(ctx, File{s.URL, sum(content), filepath.Join(t.TempDir(), "x")}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

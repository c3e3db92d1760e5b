package api_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/api"
	"primespark/shared/oip"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
)

// start runs the API until the test ends, or until stop is called, which waits
// for the end.
func start(t *testing.T, r *rig) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.api.Run(ctx) }()
	stopped := false
	stop = func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	var c net.ListenConfig
	l, err := c.Listen(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serverTLS borrows the certificate of httptest.
func serverTLS(t *testing.T) (*tls.Config, *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return &tls.Config{Certificates: s.TLS.Certificates}, s.Client()
}

func TestHTTPSSpeaksHTTP2AndAuthorizes(t *testing.T) {
	cfg, client := serverTLS(t)
	l := listen(t, "tcp", "127.0.0.1:0")
	start(t, newRig(t, api.Config{}, api.Listener{Listener: l, TLS: cfg, Authorize: func(r *http.Request) error {
		switch r.Header.Get("Authorization") {
		case "":
			return problem.New(problem.Unauthorized, "Join the cluster.", "No certificate was shown.")
		case "odd":
			return errors.New("secret reason")
		}
		return nil
	}}))
	get := func(path, auth string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if auth != "" {
			req.Header.Set("Authorization", auth)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/v1/version": 200, "/v1/node": 401, "/v2": 401, "/metrics": 401, "/nowhere": 401} {
		if resp, body := get(path, ""); resp.StatusCode != want || resp.ProtoMajor != 2 {
			t.Errorf("%s: %s %d %s, want HTTP/2 and %d", path, resp.Proto, resp.StatusCode, body, want)
		}
	}
	if resp, body := get("/v2", "odd"); resp.StatusCode != 403 || strings.Contains(body, "secret") {
		t.Errorf("%d %s, want 403 without the reason", resp.StatusCode, body)
	}
	if resp, body := get("/v2", "yes"); resp.StatusCode != 200 || resp.Header.Get("X-Prime-Spark-Node") != "pi-1" {
		t.Errorf("%d %v %s, want 200 from pi-1", resp.StatusCode, resp.Header, body)
	}
	client.CloseIdleConnections()
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	l := listen(t, "unix", path)
	stop := start(t, newRig(t, api.Config{}, api.Listener{Listener: l}))
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	hr, err := oip.NewImageRequest(t.Context(), "http://agent", "faces", "", []byte("\xff\xd8\xff"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(hr)
	if err != nil {
		t.Fatal(err)
	}
	got, err := oip.ReadResponse(resp, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	all, err := oip.Detections(got.Outputs[0])
	if err != nil || len(all) != 1 || all[0].Label != "face" {
		t.Errorf("%v, %v, want a face", all, err)
	}
	if timing := resp.Header.Get("Server-Timing"); timing != "queue;dur=1.000, decode;dur=2.000, infer;dur=3.500, post;dur=0.250" {
		t.Errorf("Server-Timing: %s", timing)
	}
	stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// A page of another site cannot speak to the node through a visitor's browser
// by pointing its own name at 127.0.0.1.
func TestLoopbackGuard(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	start(t, newRig(t, api.Config{}, api.Listener{Listener: l}))
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:" + port: 200, "127.0.0.1:" + port: 200, "127.9.9.9": 200, "[::1]:" + port: 200, "[::1]": 200,
		"evil.example:" + port: 403, "localhost.evil.example": 403, "10.0.0.1": 403, "127.0.0.1.nip.io": 403, "0.0.0.0": 403,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.Addr().String()+"/v2", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %s: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

// Nor by posting to 127.0.0.1 straight away, which a browser does without asking.
func TestLoopbackRefusesOtherOrigins(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	start(t, newRig(t, api.Config{}, api.Listener{Listener: l}))
	own := "http://" + l.Addr().String()
	for name, test := range map[string]struct {
		header, value string
		want          int
	}{
		"a program":             {"User-Agent", "curl/8", 200},
		"the node's own page":   {"Origin", own, 200},
		"another site's page":   {"Origin", "http://evil.example", 403},
		"a page of no origin":   {"Origin", "null", 403},
		"another port's page":   {"Origin", "http://127.0.0.1:1", 403},
		"as newer browsers say": {"Sec-Fetch-Site", "cross-site", 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", own+"/v2/repository/index", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(test.header, test.value)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, test.want)
		}
	}
}

func TestNoPlainTextBeyondLoopback(t *testing.T) {
	var n pipenet.Net
	l, err := n.Host("10.0.0.1").Listen(t.Context(), "tcp", ":7490")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = api.New(api.Config{}, api.Outside{
		Models: &fakeModels{}, Health: newRig(t, api.Config{}).health, Self: func() api.Self { return api.Self{} },
		Log: slog.New(slog.DiscardHandler), Serve: []api.Listener{{Listener: l}},
	})
	if err == nil || !strings.Contains(err.Error(), "loopback only") {
		t.Errorf("New = %v, want a refusal", err)
	}
}

// At shutdown the node says that it is draining, finishes what is under way and
// cuts off what takes too long.
func TestShutdown(t *testing.T) {
	for name, test := range map[string]struct {
		work time.Duration
		took time.Duration
		done bool
	}{
		"finishes":    {4 * time.Second, 4 * time.Second, true},
		"is cut off":  {time.Hour, 2*time.Second + 10*time.Second, false},
		"was at rest": {0, 2 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _, client := onNet(t)
				r := newRig(t, api.Config{Notice: 2 * time.Second}, api.Listener{Listener: l})
				r.models.wait = func(ctx context.Context) error {
					select {
					case <-time.After(test.work):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				stop := start(t, r)
				answered := make(chan bool, 1)
				go func() {
					req, err := oip.NewImageRequest(context.Background(), "http://127.0.0.1:7490", "faces", "", []byte("\xff\xd8\xff"))
					if err != nil {
						t.Error(err)
					}
					req.Header.Set("X-Deadline-Ms", "7200000")
					resp, err := client.Do(req)
					if err == nil {
						_ = resp.Body.Close()
					}
					answered <- err == nil && resp.StatusCode == 200
				}()
				synctest.Wait()
				go func() {
					time.Sleep(time.Second)
					req, err := http.NewRequestWithContext(context.Background(), "GET", "http://127.0.0.1:7490/readyz", nil)
					if err != nil {
						t.Error(err)
					}
					resp, err := client.Do(req)
					if err != nil {
						t.Errorf("the probe during the notice: %v", err)
						return
					}
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					if resp.StatusCode != 503 || err != nil || !strings.Contains(string(b), `"draining"`) {
						t.Errorf("during the notice: %d %s, want draining", resp.StatusCode, b)
					}
				}()
				begin := time.Now()
				stop()
				took := time.Since(begin)
				if took < test.took || took > test.took+time.Second {
					t.Errorf("it took %v to stop, want %v", took, test.took)
				}
				if got := <-answered; got != test.done {
					t.Errorf("the request was answered: %v, want %v", got, test.done)
				}
				client.CloseIdleConnections()
			})
		})
	}
}

// onNet returns a loopback listener, a dialler and a client in a bubble's own
// network.
func onNet(t *testing.T) (net.Listener, func() net.Conn, *http.Client) {
	t.Helper()
	var n pipenet.Net
	host := n.Host("127.0.0.1")
	l, err := host.Listen(t.Context(), "tcp", ":7490")
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		conn, err := host.Dial(context.Background(), "tcp", "127.0.0.1:7490")
		if err != nil {
			t.Error(err)
		}
		return conn
	}
	return l, dial, &http.Client{Transport: &http.Transport{DialContext: host.Dial}}
}

// A client that is slow on purpose is cut off in time.
func TestSlowClients(t *testing.T) {
	for name, test := range map[string]struct {
		sent string
		ends time.Duration
		want string // in the answer
	}{
		"header never ends": {"GET /v2 HTTP/1.1\r\nHost: loc", 5 * time.Second, ""},
		"nothing is sent":   {"", 5 * time.Second, ""},
		"nothing more":      {"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", 60 * time.Second, "200 OK"},
		"body never ends": {
			"POST /v2/models/double/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{",
			30 * time.Second, "did not arrive in 30s",
		},
		"header too large": {
			"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a", 80<<10) + "\r\n\r\n",
			500 * time.Millisecond, "431",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, dial, _ := onNet(t)
				start(t, newRig(t, api.Config{}, api.Listener{Listener: l}))
				conn := dial()
				defer conn.Close()
				go func() {
					// The server may close before it has all.
					_, _ = io.WriteString(conn, test.sent)
				}()
				begin := time.Now()
				answer, err := io.ReadAll(conn)
				if took := time.Since(begin); took < test.ends || took > test.ends+time.Second {
					t.Errorf("the connection ended after %v (%v), want %v", took, err, test.ends)
				}
				if !strings.Contains(string(answer), test.want) {
					t.Errorf("answer %q, want %q in it", answer, test.want)
				}
			})
		})
	}
}

// An inference may take longer than the server's limits for quick requests.
func TestLongInference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, client := onNet(t)
		r := newRig(t, api.Config{}, api.Listener{Listener: l})
		r.models.wait = func(ctx context.Context) error {
			select {
			case <-time.After(5 * time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		start(t, r)
		defer client.CloseIdleConnections()
		req, err := oip.NewImageRequest(t.Context(), "http://127.0.0.1:7490", "faces", "", []byte("\xff\xd8\xff"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Deadline-Ms", "600000")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := oip.ReadResponse(resp, 1<<20); err != nil || got.Model != "faces" {
			t.Errorf("%v, %v, want an answer after five minutes", got, err)
		}
	})
}

// A client that goes away ends its inference, and is no fault of the node's.
func TestClientGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, client := onNet(t)
		r := newRig(t, api.Config{}, api.Listener{Listener: l})
		ended := make(chan time.Duration, 1)
		r.models.wait = func(ctx context.Context) error {
			begin := time.Now()
			<-ctx.Done()
			ended <- time.Since(begin)
			return ctx.Err()
		}
		start(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := oip.NewImageRequest(ctx, "http://127.0.0.1:7490", "faces", "", []byte("\xff\xd8\xff"))
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("an answer: %v", resp.Status)
		}
		if d := <-ended; d != time.Second {
			t.Errorf("the inference ended after %v, want 1s", d)
		}
		synctest.Wait()
		if text := r.ask("GET", "/metrics", "").Body.String(); !strings.Contains(text, `requests_total{code="gone",model="faces"} 1`) {
			t.Error("it is not counted as gone")
		}
		if strings.Contains(r.log.String(), "ERROR") {
			t.Errorf("the log has %s", r.log)
		}
	})
}

// A fault in a handler costs its own request alone.
func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, client := onNet(t)
		r := newRig(t, api.Config{}, api.Listener{Listener: l})
		start(t, r)
		defer client.CloseIdleConnections()
		for range 2 {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1:7490/v2/repository/models/panic/load", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != 500 {
				t.Errorf("%d, want 500", resp.StatusCode)
			}
		}
		if n := strings.Count(r.log.String(), "a handler panicked"); n != 2 {
			t.Errorf("%d panics in the log, want 2", n)
		}
	})
}

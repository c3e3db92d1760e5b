// Package browser_test looks at the pages of a coordinator with a real Chromium, headless
// and with a fresh profile: what a template and a handler promise is one thing, and what
// a person sees is another.
//
// Views of all kinds are served from memory; what follows a fleet is tried on one of
// real processes on loopback.
package browser_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var pictures = flag.Bool("pictures", false, "take the pictures for the README anew")

// browser is the one that all tests share, each in a tab of its own.
var browser context.Context

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	program, err := find()
	if err != nil || testing.Short() {
		return m.Run() // each test says why it skips, or fails
	}
	dir, err := os.MkdirTemp("", "prime-spark-browser-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	options := append(chromedp.DefaultExecAllocatorOptions[:len(chromedp.DefaultExecAllocatorOptions):len(chromedp.DefaultExecAllocatorOptions)],
		chromedp.ExecPath(program), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	defer end()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		fmt.Fprintln(os.Stderr, "chromium does not start:", err)
		return 1
	}
	browser = ctx
	return m.Run()
}

// find is where Chromium is.
func find() (path string, err error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", err
}

// A tab is a page that is open.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens a tab, in a window of its own kind of cookies, that ends with the test.
func open(t *testing.T) *tab {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("starts a browser")
	case browser == nil && os.Getenv("CI") == "true":
		t.Fatal("chromium is not installed; apt install chromium")
	case browser == nil:
		t.Skip("chromium is not installed; apt install chromium")
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, done := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(done)
	tb := &tab{t, ctx}
	tb.do(chromedp.EmulateViewport(1280, 900))
	return tb
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) navigate(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
}

// eval is what an expression gives in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// until waits until an expression is true. It asks anew each time, since a page may be
// loaded again meanwhile, by itself too, and an expression that waits in the old one is lost.
func (b *tab) until(expression string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	for {
		is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && is {
			return
		}
		select {
		case <-tick.C:
			continue
		case <-patience.C:
		case <-b.ctx.Done():
		}
		b.t.Fatalf("waiting for %s: %v\nthe page says: %s", expression, err, b.text())
	}
}

// reaches waits until the tab is at a path.
func (b *tab) reaches(path string) {
	b.t.Helper()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		at, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.readyState + location.pathname"))
		if err == nil && at == "complete"+path {
			return
		}
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.t.Fatalf("the tab is at %q (%v), want %q", at, err, path)
		}
	}
}

// text is what a person reads on the page.
func (b *tab) text() string {
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		return err.Error()
	}
	return text
}

// has fails unless the page shows all texts.
func (b *tab) has(texts ...string) {
	b.t.Helper()
	shown := b.text()
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			b.t.Errorf("%q is not in:\n%s", text, shown)
		}
	}
}

// scripts switches scripts of pages on or off, from the next page on.
func (b *tab) scripts(on bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on}); err != nil {
		b.t.Fatal(err)
	}
}

// scheme is light or dark.
func (b *tab) scheme(name string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	}); err != nil {
		b.t.Fatal(err)
	}
}

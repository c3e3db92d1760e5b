package browser_test

import (
	_ "embed"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"primespark/coordinator/status"
	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/wire"
)

//go:embed audit.js
var audit string

// pages are all kinds of pages.
var pages = []string{"/", "/nodes/pi-1", "/login", "/problem", "/deed"}

// TestAccessible holds all pages to WCAG AA, as far as a program can: contrast of what is
// read, names of what is operated, marks of tables, landmarks and headings.
func TestAccessible(t *testing.T) {
	s := play(t, troubled())
	v := troubled()
	s.node.Store(nodePage(v.Nodes[1]))
	s.answer.Store(answered(`{"label":"face","score":0.9,"box":[10,10,90,90]}`))
	b := open(t)
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		for _, page := range pages {
			b.navigate(s.URL + page)
			if page == "/" {
				b.until(`!document.getElementById("try").hidden`)
				b.photo(120, 90)
				b.until(`!document.getElementById("result").hidden`)
			}
			for _, fault := range eval[[]string](b, audit) {
				t.Errorf("%s, %s: %s", page, scheme, fault)
			}
		}
	}
}

// TestAuditFinds has the audit find one fault of each kind, lest it find nothing anywhere.
func TestAuditFinds(t *testing.T) {
	b := open(t)
	b.navigate("about:blank")
	for html, want := range map[string]string{
		`<p id=x style="color:#888;background:#fff">pale</p>`:      "contrast",
		`<p style="color:#777;background:#fff;font-size:9px">p`:    "contrast",
		`<p style="background:#fff"><span style="opacity:.4">pale`: "contrast",
		`<input>`:                         "no name",
		`<button></button>`:               "no name",
		`<a href="/x"></a>`:               "no name",
		`<svg role="img"></svg>`:          "no name",
		`<table><tbody><tr><td>1</table>`: "no headings",
		`<p id=a></p><p id=a></p>`:        "twice",
		`<h1>one</h1><h3>three</h3>`:      "jumps",
		`<meter></meter>`:                 "no name",
		`<h2>no first</h2>`:               "h1",
		`<div tabindex=3>ahead</div>`:     "tabindex",
		`<input aria-label=x style="border:1px solid #eee;background:#fff">`: "border",
	} {
		eval[bool](b, `document.documentElement.lang = "en"; document.title = "x"; document.body.innerHTML = `+quote(html)+`; true`)
		faults := strings.Join(eval[[]string](b, audit), "\n")
		if !strings.Contains(faults, want) {
			t.Errorf("%s: found %q, want %q", html, faults, want)
		}
	}
}

// TestPhone: nothing is wider than a phone, and what is touched is large enough.
func TestPhone(t *testing.T) {
	v := troubled()
	long := strings.Repeat("averylongword", 30)
	v.Alerts[0].Detail, v.Events[1].Detail, v.Queue.Dead[0].Error, v.Nodes[0].Accelerator.Detail = long, long, long, long
	s := play(t, v)
	s.node.Store(nodePage(v.Nodes[0]))
	b := open(t)
	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
	for _, page := range pages {
		b.navigate(s.URL + page)
		if wide := eval[int](b, `document.documentElement.scrollWidth`); wide > 360 {
			t.Errorf("%s is %d px wide: %v", page, wide, eval[[]string](b, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > 361).map(e => e.tagName + "." + e.className).slice(0, 8)`))
		}
		if small := eval[[]string](b, `[...document.querySelectorAll("button, input, select, .button")].filter(e => e.offsetParent && e.getBoundingClientRect().height < 24).map(e => e.outerHTML)`); len(small) > 0 {
			t.Errorf("%s: too small to be touched (WCAG 2.5.8: 24 px): %v", page, small)
		}
	}
}

// TestWidths: no table is wider than the page or squeezes what it says into a column of
// letters, from a tablet to a large screen, and with all columns that there are.
func TestWidths(t *testing.T) {
	v := troubled()
	v.Mesh, v.Trends = &status.MeshView{Brief: true}, map[string]status.Trend{}
	for _, n := range v.Nodes {
		v.Trends[n.Name] = status.Trend(strings.Repeat("e", 24))
		v.Mesh.Mesh.Nodes = append(v.Mesh.Mesh.Nodes, wire.MeshNodeBody{Name: n.Name, Report: &mesh.Report{Links: []mesh.Link{{Peer: "c1", Up: true, Handshake: 400}, {Peer: "c2"}, {Peer: "pi-9", Up: true, Via: "c1"}}}})
	}
	s := play(t, v)
	b := open(t)
	for _, width := range []int64{620, 830, 1000, 1180, 1190, 1280, 1920} {
		b.do(chromedp.EmulateViewport(width, 900))
		b.navigate(s.URL + "/")
		if wide := eval[int64](b, `document.documentElement.scrollWidth`); wide > width {
			t.Errorf("on %d px the page is %d px wide", width, wide)
		}
		if tall := eval[[]string](b, `[...document.querySelectorAll("#agents tbody :is(th, td)")].filter(e => e.getBoundingClientRect().width < 60 || e.getBoundingClientRect().height > 130).map(e => e.dataset.name + " " + e.textContent)`); len(tall) > 0 {
			t.Errorf("on %d px these are squeezed: %q", width, tall)
		}
	}
}

// TestFirstLoad: what a browser gets before it shows something is at most 100 KB.
func TestFirstLoad(t *testing.T) {
	s := play(t, crowd(50))
	b := open(t)
	b.navigate(s.URL + "/")
	got := eval[int](b, `performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource")).filter(e => !e.name.includes("stream")).reduce((sum, e) => sum + e.encodedBodySize, 0)`)
	t.Logf("%d bytes for 50 agents", got)
	if got > 100_000 || got < 10_000 {
		t.Errorf("%d bytes", got)
	}
	if others := eval[[]string](b, `performance.getEntriesByType("resource").map(e => new URL(e.name).host).filter(h => h !== location.host)`); len(others) > 0 {
		t.Errorf("from elsewhere: %v", others)
	}
}

// TestBrokenStream: the page says how old it is, and is of now again by itself.
func TestBrokenStream(t *testing.T) {
	s := play(t, troubled())
	b := open(t)
	b.navigate(s.URL + "/")
	b.until(`document.querySelector("#lead .age").textContent.includes("0 s old")`)
	if eval[bool](b, `!document.getElementById("trouble").hidden`) {
		t.Error("it says that the connection is lost")
	}
	s.CloseClientConnections()
	b.until(`!document.getElementById("trouble").hidden && /Data is \d+ s old/.test(document.getElementById("since").textContent)`)
	b.has("The connection to this coordinator is lost")
	v := troubled()
	v.Status.Summary.Sentence = "All is well again."
	s.now.Store(status.NewSheet(v))
	b.until(`document.getElementById("trouble").hidden && document.querySelector("h1").textContent === "All is well again."`)
}

// TestKeyboard walks through the page, stays where it is when the page changes under it,
// and opens what it stands on.
func TestKeyboard(t *testing.T) {
	v := troubled()
	s := play(t, v)
	s.node.Store(nodePage(v.Nodes[0]))
	b := open(t)
	b.navigate(s.URL + "/")
	b.until(`!document.getElementById("try").hidden`)
	var seen []string
	const here = `(() => { const e = document.activeElement; if (e === document.body) return ""; const s = getComputedStyle(e);
		return (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 || e.type === "file" ? "" : "INVISIBLE ") + (e.getAttribute("href") || e.id || e.textContent) })()`
	for range 40 {
		b.do(chromedp.KeyEvent("\t"))
		at := eval[string](b, here)
		if at == "" {
			break
		}
		if seen = append(seen, at); strings.HasPrefix(at, "INVISIBLE") {
			t.Errorf("nobody sees where the keyboard is: %s", at)
		}
	}
	want := "#live / /mesh /docs Log out /nodes/pi-1 /nodes/pi-2 /nodes/pi-3 /nodes/pi-4 /nodes/pi-4/approve /nodes/pi-5 /nodes/c1 /nodes/c2 /tasks/0000000000000000000000dead/requeue photo model"
	if got := strings.Join(seen, " "); got != want {
		t.Errorf("the walk is\n%s, want\n%s", got, want)
	}

	eval[bool](b, `document.querySelector('a[href="/nodes/pi-1"]').focus(); true`)
	v.Nodes = slices.Clone(v.Nodes)
	v.Nodes[0].CPU, v.At = 0.77, v.At.Add(time.Second)
	s.now.Store(status.NewSheet(v))
	b.until(`document.getElementById("node-pi-1").textContent.includes("77 %")`)
	if at := strings.TrimPrefix(eval[string](b, here), "INVISIBLE "); at != "/nodes/pi-1" { // which of the two is the browser's guess after a script has set it
		t.Errorf("after a change the keyboard is at %q", at)
	}
	b.do(chromedp.KeyEvent("\r"))
	b.reaches("/nodes/pi-1")
}

// TestEachPartIsPlaced changes a section and a row at once, as a death does.
func TestEachPartIsPlaced(t *testing.T) {
	v := troubled()
	s := play(t, v)
	b := open(t)
	b.navigate(s.URL + "/")
	b.until(`document.querySelector("#lead .age").textContent !== ""`)
	v.Nodes = slices.Clone(v.Nodes)
	v.Status.Summary.Sentence, v.Nodes[4].Liveness, v.Queue.Counts[0] = "One more is gone.", fleet.Dead, 4711
	s.now.Store(status.NewSheet(v))
	b.until(`document.querySelector("h1").textContent === "One more is gone."`)
	if got := eval[string](b, `[document.querySelector("#node-pi-5 .word").textContent, document.querySelector("#tasks td").textContent, document.querySelectorAll("#agents tbody tr").length, document.querySelectorAll("#live table").length].join()`); got != "dead for 3 h,4711,5,7" {
		t.Errorf("the row, the section after it, rows and tables: %s", got)
	}
}

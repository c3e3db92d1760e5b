package browser_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"primespark/coordinator/status"
	"primespark/shared/fleet"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// payloads are what somebody may give for a name, a label or an error to have a
// script of his run on the page. All of them set pwned, or open a dialogue.
var payloads = []string{
	`<script>pwned=1</script>`,
	`"><script>pwned=1</script>`,
	`</script><script>pwned=1</script>`,
	`<img src=x onerror=pwned=1>`,
	`"><img src=x onerror="pwned=1">`,
	`<svg onload=pwned=1>`,
	`<svg><script>pwned=1</script></svg>`,
	`<svg><animate onbegin=pwned=1 attributeName=x dur=1s>`,
	`<body onload=pwned=1>`,
	`<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>`,
	`<a href="javascript:pwned=1" autofocus onfocus=pwned=1>x</a>`,
	`javascript:pwned=1//`,
	`" onmouseover="pwned=1" autofocus onfocus="pwned=1" x="`,
	`' onfocus='pwned=1' autofocus x='`,
	"` onload=pwned=1 `",
	`<details open ontoggle=pwned=1>`,
	`<math><mtext><table><mglyph><style><img src=x onerror=pwned=1>`,
	`<template><script>pwned=1</script></template>`,
	`<noscript><p title="</noscript><img src=x onerror=pwned=1>">`,
	"\r\n\r\nevent: page\r\ndata: <section id=lead><img src=x onerror=pwned=1></section>\r\n\r\n",
	`<style>@import "javascript:pwned=1";</style><link rel=stylesheet href="data:text/css,*{color:red}">`,
	`{{.}}${pwned=1}<%= pwned=1 %>`,
	`<meta http-equiv=refresh content="0;url=javascript:pwned=1">`,
	`<base href="https://evil.example/"><form action=javascript:pwned=1><button autofocus>`,
}

// poison is a fleet in which everything that can be named is named x.
func poison(x string) status.View {
	v := troubled()
	v.Self, v.Version, v.Status.Cluster, v.Status.Leader, v.Status.Summary.Sentence, v.Status.Advice, v.Status.Mode = x, x, x, x, x, x, fleet.Mode(x)
	v.Status.StateChecksum = x
	for i := range v.Status.Coordinators {
		c := &v.Status.Coordinators[i]
		c.Name, c.Role, c.API, c.Version, c.Conditions = x, x, x, x, []string{x}
	}
	v.Status.Backup.Path, v.Status.Backup.Error, v.Status.Backup.Node = x, x, x
	n := &v.Nodes[0]
	n.Name, n.Version, n.State, n.Reasons, n.Throttled, n.Liveness, n.Mode, n.Ready = x, x, x, []string{x}, []string{x}, fleet.Liveness(x), fleet.Mode(x), false
	n.Accelerator = &fleet.Accelerator{Kind: x, State: x, Detail: x}
	n.Models = []fleet.Serving{{Name: x, Version: x, Backend: x}}
	n.Addresses = map[string]string{x: x}
	v.Nodes[1].Models = []fleet.Serving{{Name: x, Version: x, Backend: x, Millis: 3}} // of an agent that is alive: in the table of models and the form
	v.Nodes[3].Name = x + "pending"
	v.Beats[x] = status.Beats(x)
	v.Alerts[0] = wire.Alert{Key: x, Rule: x, Subject: x, Severity: x, Detail: x, Remedy: x, Told: []wire.AlertTold{{Channel: x, By: x}}}
	v.Events[0] = wire.Event{ID: x, Code: x, Severity: x, Node: x, Actor: x, Detail: x, Remedy: x}
	v.Queue.Dead[0] = task.Task{ID: x, Kind: task.Kind(x), Model: x, Node: x, Error: x}
	return v
}

// TestHostileNames shows each payload on the page as it is loaded, in what is streamed, on
// the page of a node, and in the answer of a model. Nothing of it runs, and all of it
// is there to be read.
func TestHostileNames(t *testing.T) {
	if len(payloads) < 20 {
		t.Fatalf("%d payloads", len(payloads))
	}
	s := play(t, troubled())
	b := open(t)
	dialogues := watchDialogues(b)
	for i, x := range payloads {
		s.now.Store(status.NewSheet(poison(x)))
		node := nodePage(poison(x).Nodes[0])
		node.Self, node.Cluster, node.Version, node.Trouble = x, x, x, x
		s.node.Store(node)
		s.reader.Store(status.Reader{Name: x, Role: x, Session: true, Operate: true})
		object, err := json.Marshal(map[string]any{"label": x, "score": 0.9, "box": []int{1, 1, 50, 50}})
		if err != nil {
			t.Fatal(err)
		}
		s.answer.Store(answered(string(object)))
		if i%2 == 1 { // or an error of the gateway, in the words of a model
			s.answer.Store(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				_ = json.NewEncoder(w).Encode(map[string]string{"error": x})
			})
		}
		where := fmt.Sprintf("payload %d, %q", i, x)
		b.navigate(s.URL + "/nodes/x")
		b.unharmed(where+", the node's page", 0)
		b.navigate(s.URL + "/")
		b.unharmed(where+", the page", 2)
		s.now.Store(status.NewSheet(poison(x + "streamed")))
		b.until(`document.querySelector("h1").textContent.includes("streamed")`)
		b.unharmed(where+", streamed", 2)
		b.photo(60, 60)
		b.until(`document.getElementById("said").textContent.length > 0 && !document.getElementById("said").textContent.includes("is looking")`)
		b.unharmed(where+", in an answer", 2)
	}
	if got := dialogues(); len(got) > 0 {
		t.Errorf("dialogues were opened: %q", got)
	}
}

// TestHarmIsSeen has payloads run where nothing keeps them from it.
func TestHarmIsSeen(t *testing.T) {
	b := open(t)
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><p>bare") }))
	defer bare.Close()
	b.navigate(bare.URL)
	eval[bool](b, `document.body.innerHTML = '<img src=x onerror=pwned=1>'; true`)
	b.until(`window.pwned === 1`)
	if harm := eval[[]string](b, harm(0)); len(harm) < 2 {
		t.Errorf("of a script that ran this is seen: %q", harm)
	}
}

// harm is an expression: what of the page is not ours, when so many scripts are.
func harm(scripts int) string {
	return fmt.Sprintf(`(() => {
		const all = [];
		if (window.pwned !== undefined) all.push("a script ran");
		if (document.scripts.length !== %d || [...document.scripts].some((s) => !/^\/static\/(page|try)\.js$/.test(new URL(s.src).pathname))) all.push("scripts: " + [...document.scripts].map((s) => s.outerHTML));
		for (const e of document.querySelectorAll("*")) {
			for (const a of e.attributes) {
				if (a.name.startsWith("on") || a.name === "style" && !a.value.match(/^$/)) all.push("attribute " + a.name + " of " + e.tagName);
				if (["href", "src", "action", "formaction"].includes(a.name) && new URL(a.value, location.href).host !== location.host) all.push("leads away: " + e.outerHTML.slice(0, 100));
			}
			if (["IFRAME", "OBJECT", "EMBED", "BASE", "STYLE", "IMG", "MATH", "TEMPLATE", "DETAILS"].includes(e.tagName)) all.push("element " + e.tagName);
		}
		return all;
	})()`, scripts)
}

// unharmed fails if anything of the page is not ours.
func (b *tab) unharmed(where string, scripts int) {
	b.t.Helper()
	if all := eval[[]string](b, harm(scripts)); len(all) > 0 {
		b.t.Errorf("%s: %q", where, all)
	}
}

// watchDialogues closes the dialogues that a page opens, and gives their texts.
func watchDialogues(b *tab) func() []string {
	b.t.Helper()
	var mu sync.Mutex
	var seen []string
	if err := chromedp.Listen(b.ctx, func(ev any) {
		if e, ok := ev.(*page.EventJavascriptDialogOpening); ok {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, strings.Clone(e.Message))
		}
	}); err != nil {
		b.t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

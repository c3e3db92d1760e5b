package browser_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"primespark/shared/fleet"
	"primespark/shared/rig"
	"primespark/shared/testphoto"
	"primespark/shared/wire"
)

// TestFleet works with the page of a fleet of real processes, as an operator does: he logs
// in and drains a node without a script, watches an agent die, has a face found, and
// goes on while the leader is lost, and then the quorum.
func TestFleet(t *testing.T) {
	b := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	r := start(ctx, t)
	if err := b.visit(r, ctx); err != nil {
		t.Fatal(err)
	}
}

// visit does one thing after the other, since each needs the fleet as the one before
// left it.
func (b *tab) visit(r *rig.Rig, ctx context.Context) error {
	leader, err := r.Leader(ctx)
	if err != nil {
		return err
	}
	b.withoutScript(r, leader)
	b.takePictures(r, leader)
	b.findsAFace(leader)
	b.seesADeath(ctx, r, leader)
	b.outlivesTheLeader(r, leader)
	return nil
}

// start builds the daemons and runs three coordinators and two agents.
func start(ctx context.Context, t *testing.T) *rig.Rig {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(ctx, "go", "build", "-o", bin+"/", "primespark/agent/cmd/prime-spark-agent", "primespark/coordinator/cmd/prime-spark-coordinator")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the daemons: %v\n%s", err, out)
	}
	r, err := rig.New(rig.Options{Bin: bin, Coordinators: 3, Agents: 3, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := r.Start(ctx, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Healthy(ctx, "blazeface"); err != nil {
		t.Fatal(err)
	}
	return r
}

// withoutScript logs in, and drains and undrains an agent.
func (b *tab) withoutScript(r *rig.Rig, at *rig.Node) {
	b.t.Helper()
	b.scripts(false)
	b.navigate("https://" + at.API + "/")
	b.enter("wrong")
	b.has("This token is not valid in this cluster.")
	b.enter(r.Token())
	b.has("3 of 3 agents healthy, quorum 3/3", "pi-1", "battery", "blazeface", "leader", "GiB free", "admin", "This page loads itself anew every 10 s.")
	b.press(`a[href="/nodes/pi-1"]`)
	b.press(`a[href="/nodes/pi-1/drain"]`)
	b.has("Drain pi-1?", "This will be recorded with your name")
	b.press(`main button`)
	b.has("draining")
	b.press(`a[href="/nodes/pi-1/undrain"]`)
	b.press(`main button`)
	b.has("approved")
	b.scripts(true)
}

// enter sends the form of the log-in.
func (b *tab) enter(token string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), token))
	b.press("main button")
}

// press clicks, and waits for the page that comes.
func (b *tab) press(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("press %s: %v", selector, err)
	}
}

// findsAFace shows the gateway a photo.
func (b *tab) findsAFace(at *rig.Node) {
	b.t.Helper()
	b.navigate("https://" + at.API + "/")
	b.file(testphoto.Astronaut())
	b.until(`document.getElementById("said").textContent.startsWith("1 found by blazeface on pi-")`)
	b.has("face ", "inference", "way from here", "through "+at.Name)
}

// seesADeath measures how long after the coordinator knew of a dead agent the open page
// shows it: a second at most.
func (b *tab) seesADeath(ctx context.Context, r *rig.Rig, at *rig.Node) {
	b.t.Helper()
	b.navigate("https://" + at.API + "/")
	b.until(`document.querySelector("#lead .age").textContent !== ""`)
	b.until(`document.querySelector("#node-pi-3 .word").textContent.includes("healthy")`)
	eval[bool](b, `new MutationObserver(() => {
		if (!window.seen && !document.querySelector("#node-pi-3 .word").textContent.includes("healthy")) window.seen = Date.now();
	}).observe(document.body, { childList: true, subtree: true }); true`)
	client := r.Client(at)
	client.Stale = true
	r.Agents[2].Kill()
	var known time.Time
	for tick := time.NewTicker(10 * time.Millisecond); known.IsZero(); <-tick.C {
		n, err := client.Node(ctx, "pi-3")
		if err != nil {
			b.t.Fatal(err)
		}
		if n.Liveness != fleet.Alive {
			known = time.Now()
		}
	}
	b.until(`window.seen > 0`)
	late := time.UnixMilli(int64(eval[float64](b, `window.seen`))).Sub(known)
	b.t.Logf("the page showed the death %v after the coordinator knew of it", late)
	if late > time.Second {
		b.t.Errorf("the page showed the death %v after the coordinator knew of it", late)
	}
	b.until(`document.querySelector("#events li").textContent.includes("pi-3")`)
}

// outlivesTheLeader loses the leader, and finds the log-in good at another coordinator;
// then the quorum, and finds the page still there, and honest.
func (b *tab) outlivesTheLeader(r *rig.Rig, leader *rig.Node) {
	b.t.Helper()
	b.navigate("https://" + leader.API + "/")
	leader.Kill()
	b.until(`!document.getElementById("trouble").hidden && /Data is \d+ s old/.test(document.getElementById("since").textContent)`)
	var left []*rig.Node
	for _, c := range r.Coordinators {
		if c != leader {
			left = append(left, c)
		}
	}
	b.navigate("https://" + left[0].API + "/")
	b.until(`document.querySelector("#lead .badge").textContent === "normal" && document.querySelector("h1").textContent.includes("quorum 2/3")`)
	b.has("Log out", left[0].Name)
	left[1].Kill()
	b.until(`document.querySelector("#lead .badge").textContent === "degraded"`)
	b.has("no quorum (1/3)", "nothing can be changed", "unreachable")
	b.scripts(false)
	b.navigate("https://" + left[0].API + "/nodes/pi-1/drain")
	b.has("No coordinator leads")
	b.navigate("https://" + left[0].API + "/")
	b.has("no quorum (1/3)", wire.RoleUnreachable)
	b.press(`form[action="/logout"] button`)
	b.has("Log in")
}

// takePictures writes those of the README, where that is asked for.
func (b *tab) takePictures(r *rig.Rig, at *rig.Node) {
	b.t.Helper()
	if !*pictures {
		return
	}
	docs := filepath.Join("..", "..", "..", "docs")
	take := func(name string, width, height int64, scheme string, scale float64) {
		b.t.Helper()
		b.scheme(scheme)
		b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale)))
		png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			b.t.Fatal(err)
		}
		if len(png) > 200_000 {
			b.t.Errorf("%s has %d bytes", name, len(png))
		}
		if err := os.WriteFile(filepath.Join(docs, name), png, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	b.navigate("https://" + at.API + "/")
	b.until(`document.querySelector("#lead .age").textContent !== "" && document.querySelector("#node-pi-1 .word").textContent.includes("healthy")`)
	take("page.png", 1200, 1000, "light", 1)
	take("page-dark.png", 1200, 1000, "dark", 1)
	take("page-phone.png", 390, 844, "light", 1)
	b.do(chromedp.EmulateViewport(1100, 720))
	b.file(testphoto.Astronaut())
	b.until(`document.getElementById("said").textContent.includes("found by")`)
	eval[bool](b, `document.getElementById("tryit").scrollIntoView(); true`)
	take("try-it.png", 1100, 720, "light", 0.6)
	b.navigate("https://" + at.API + "/nodes/pi-2")
	take("node.png", 1200, 1000, "light", 1)
	b.do(chromedp.EmulateViewport(1280, 900))
}

package api

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// A poll is a request for a plan that is under way.
type poll struct {
	done chan *httptest.ResponseRecorder
	at   time.Time
}

// poll asks for pi-1's plan, and returns once that is answered or waits.
func (l *lab) poll(query string) poll {
	p := poll{make(chan *httptest.ResponseRecorder, 1), time.Now()}
	r := l.as("agent/pi-1", "GET", "/v1/plan?"+query, "")
	go func() { p.done <- l.do(r) }()
	synctest.Wait()
	return p
}

// answer waits for the plan, and tells how long that took.
func (p poll) answer(t *testing.T) (wire.PlanBody, time.Duration) {
	t.Helper()
	w := <-p.done
	took := time.Since(p.at)
	var b wire.PlanBody
	if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d: %s, %v", w.Code, w.Body, err)
	}
	if w.Header().Get(wire.HeaderIndex) != strconv.FormatUint(b.Index, 10) {
		t.Errorf("X-Index %s, the body says %d", w.Header().Get(wire.HeaderIndex), b.Index)
	}
	return b, took
}

func TestPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		first, took := l.poll("").answer(t)
		if first.State != "approved" || took != 0 || len(first.Deny) != 0 || len(first.Coordinators) != 3 || first.Coordinators[1] != (wire.PlanCoordinator{Name: "c2", API: "c2:7480"}) {
			t.Errorf("the first plan, after %v: %+v", took, first)
		}
		since := "index=" + strconv.FormatUint(first.Index, 10)

		if b, took := l.poll(since + "&wait=20s").answer(t); took != 20*time.Second || b.Index != first.Index {
			t.Errorf("no news: index %d after %v", b.Index, took)
		}

		waiting := l.poll(since + "&wait=60s")
		time.Sleep(5 * time.Second)
		l.must(fsm.CodeCreate{ID: "noise", Hash: fsm.Hash("noise"), Role: fleet.Agent, Expires: noon.Add(time.Hour)})
		time.Sleep(5 * time.Second) // news, but none for the plan
		l.must(fsm.NodeRevoke{Name: "c3"})
		b, took := waiting.answer(t)
		if _, denied := b.Deny[fsm.Hash("key of c3")]; !denied || len(b.Coordinators) != 2 || took < 10*time.Second || took > 11*time.Second {
			t.Errorf("c3 revoked after 10s: after %v %+v", took, b)
		}

		waiting = l.poll(fmt.Sprintf("index=%d&wait=60s", b.Index))
		l.must(fsm.NodeDrain{Name: "pi-1"})
		if b, took = waiting.answer(t); b.State != "draining" || took > time.Second {
			t.Errorf("drained: %s after %v", b.State, took)
		}
		waiting = l.poll(fmt.Sprintf("index=%d&wait=60s", b.Index))
		l.must(fsm.NodeRevoke{Name: "pi-1"})
		if b, took = waiting.answer(t); b.State != "revoked" || took > time.Second {
			t.Errorf("revoked: %s after %v", b.State, took)
		}
		if w := l.do(l.as("agent/pi-1", "GET", "/v1/plan", "")); w.Code != http.StatusForbidden {
			t.Errorf("asking once revoked: %d", w.Code)
		}
	})
}

// TestPlanWithoutTheGroup: nobody waits at a coordinator that has lost the others.
func TestPlanWithoutTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		b, _ := l.poll("").answer(t)
		waiting := l.poll(fmt.Sprintf("index=%d&wait=60s", b.Index))
		time.Sleep(10 * time.Second)
		l.stand.Update(func(s Standing) Standing { s.LastContact = 4 * time.Second; return s })
		w := <-waiting.done
		if took := time.Since(waiting.at); w.Code != http.StatusServiceUnavailable || took > 12*time.Second {
			t.Errorf("status %d after %v", w.Code, took)
		}
		l.group.down = errNoQuorum
		if w := l.do(l.as("agent/pi-1", "GET", "/v1/plan", "")); w.Code != http.StatusServiceUnavailable {
			t.Errorf("without a quorum: %d", w.Code)
		}
	})
}

func TestPlanIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		b, _ := l.poll("").answer(t)
		query := fmt.Sprintf("index=%d&wait=60s", b.Index)
		var waiting []poll
		for range maxPolls {
			waiting = append(waiting, l.poll(query))
		}
		time.Sleep(time.Second)
		if w := l.do(l.as("agent/pi-1", "GET", "/v1/plan?"+query, "")); w.Code != http.StatusTooManyRequests {
			t.Errorf("one poll more: %d", w.Code)
		}
		l.api.Stop()
		for _, p := range waiting {
			w := <-p.done // the present plan would have it asked again at once
			if took := time.Since(p.at); w.Code != http.StatusServiceUnavailable || took > 2*time.Second {
				t.Errorf("the server stops, and the poll ends after %v with %d", took, w.Code)
			}
		}
		for _, query := range []string{"index=x", "index=-1", "wait=61s", "wait=-1s", "wait=soon"} {
			if w := l.do(l.as("agent/pi-1", "GET", "/v1/plan?"+query, "")); w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d", query, w.Code)
			}
		}
	})
}

func TestRenewIsForTheOneWhoAsks(t *testing.T) {
	l := newLab(t)
	w := l.do(l.as("agent/pi-1", "POST", "/v1/renew", `{"csr": "x"}`))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "spiffe://home/agent/pi-1 ") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := l.do(l.as("operator", "POST", "/v1/renew", `{"csr": "x"}`)); w.Code != http.StatusForbidden {
		t.Errorf("an operator: %d", w.Code)
	}
}

func TestEnding(t *testing.T) {
	with := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{NotBefore: noon, NotAfter: noon.Add(30 * 24 * time.Hour)}}}
	for days, want := range map[int]bool{1: false, 24: false, 26: true, 31: true} {
		if ending(with, noon.Add(time.Duration(days)*24*time.Hour)) != want {
			t.Errorf("day %d: %t", days, !want)
		}
	}
	if ending(nil, noon) || ending(&tls.ConnectionState{}, noon) {
		t.Error("nobody's certificate ends")
	}
}

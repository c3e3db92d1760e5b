package enroll

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/coordinator/pki"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// group is the agreed state without the others.
type group struct {
	mu    sync.Mutex
	fsm   *fsm.FSM
	index uint64
	lost  error // instead of an answer
	boots int
}

func (g *group) Propose(_ context.Context, actor string, c fsm.Command) (json.RawMessage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lost != nil {
		return nil, g.lost
	}
	data, err := fsm.Encode(time.Now(), actor, c)
	if err != nil {
		return nil, err
	}
	if err := fsm.Check(data); err != nil {
		return nil, err
	}
	g.index++
	r := g.fsm.Apply(&raft.Log{Index: g.index, Data: data}).(fsm.Result)
	if r.Err != nil {
		return nil, r.Err
	}
	return json.Marshal(r.Value)
}

func (g *group) Read(context.Context) (fsm.State, error) {
	s, _ := g.fsm.State()
	return s, nil
}

func (g *group) Bootstrap() error { g.boots++; return nil }

// founded is a cluster after init and the first run, with its secrets.
func founded(t *testing.T, codes ...CodeSpec) (*Enroller, *group, Founded, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "identity")
	f, err := Init(Founding{
		Dir: dir, Cluster: "home", Name: "c1", Version: "1.0", Codes: codes,
		Addresses: identity.Addresses{API: "192.0.2.1:7480", Raft: "192.0.2.1:7481", Gossip: "192.0.2.1:7482"},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &group{fsm: fsm.New()}
	e := enroller(t, dir, g)
	if err := Bootstrap(t.Context(), dir, load(t, dir), g); err != nil {
		t.Fatal(err)
	}
	return e, g, f, dir
}

func load(t *testing.T, dir string) *identity.Identity {
	t.Helper()
	id, err := identity.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func enroller(t *testing.T, dir string, g *group) *Enroller {
	t.Helper()
	ca, err := pki.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := load(t, dir)
	return &Enroller{Authority: ca, Group: g, GossipKeys: func(fsm.State) (identity.Keyring, error) { return id.Keyring().Get(), nil }, SessionKey: id.SessionKey(), Log: slog.New(slog.DiscardHandler)}
}

// join makes the request that identity.Join would send for a code.
func join(t *testing.T, code, name string) identity.JoinRequest {
	t.Helper()
	c, err := identity.ParseJoinCode(code)
	if err != nil {
		t.Fatal(err)
	}
	_, csr, err := identity.NewKey(name)
	if err != nil {
		t.Fatal(err)
	}
	const digits = "0123456789abcdef"
	secret := make([]byte, 0, 32)
	for _, b := range c.Secret {
		secret = append(secret, digits[b>>4], digits[b&15])
	}
	return identity.JoinRequest{
		Code: c.ID, Secret: string(secret), Role: c.Role, CSR: string(csr), Name: name,
		Addresses: identity.Addresses{API: name + ":7490"}, Version: "1.0",
	}
}

func TestFoundAndJoin(t *testing.T) {
	e, g, f, dir := founded(t, CodeSpec{Role: fleet.Agent}, CodeSpec{Role: fleet.Coordinator, Uses: 2})
	s, _ := g.fsm.State()
	if actor, access, ok := s.Authenticate(f.Token); !ok || access != fsm.Admin {
		t.Errorf("the first token: %q %q %t", actor, access, ok)
	}
	if n := s.Nodes["c1"]; s.Cluster.Name != "home" || n.State != fsm.Approved || n.Key != load(t, dir).KeyHash() {
		t.Errorf("the first node: %+v", n)
	}
	if _, err := os.Stat(filepath.Join(dir, bootFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the note is still there: %v", err)
	}

	res, err := e.Join(t.Context(), "192.0.2.50", join(t, f.Codes[0], "pi-1"))
	if err != nil {
		t.Fatal(err)
	}
	if res.CAKey != "" || res.SessionKey != nil {
		t.Error("an agent got the authority's key")
	}
	if want := []string{"192.0.2.1:7480"}; !slices.Equal(res.Peers.API, want) || res.Peers.Gossip[0] != "192.0.2.1:7482" {
		t.Errorf("peers %v", res.Peers)
	}
	leaf, err := identity.ParseCertificate([]byte(res.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	if s, _ = g.fsm.State(); s.Nodes["pi-1"].Key != identity.KeyHash(leaf) || leaf.VerifyHostname("pi-1") != nil {
		t.Errorf("the node %+v and its certificate %v do not match", s.Nodes["pi-1"], leaf.DNSNames)
	}
	if res, err = e.Join(t.Context(), "192.0.2.51", join(t, f.Codes[1], "c2")); err != nil || res.CAKey == "" || len(res.SessionKey) != 32 {
		t.Errorf("a coordinator got key %q, %v", res.CAKey, err)
	}
}

func TestJoinIsRefused(t *testing.T) {
	e, _, f, _ := founded(t, CodeSpec{Role: fleet.Agent}, CodeSpec{Role: fleet.Agent, Uses: 5})
	if _, err := e.Join(t.Context(), "ip", join(t, f.Codes[0], "pi-1")); err != nil {
		t.Fatal(err)
	}
	good := join(t, f.Codes[1], "pi-2")
	for name, test := range map[string]struct {
		req  identity.JoinRequest
		want problem.Code
		text string
	}{
		"used":         {join(t, f.Codes[0], "pi-3"), problem.Forbidden, "used already"},
		"name taken":   {join(t, f.Codes[1], "pi-1"), problem.Conflict, "pi-1 already"},
		"wrong secret": {func() identity.JoinRequest { r := good; r.Secret = "guess"; return r }(), problem.Forbidden, "not known"},
		"wrong role":   {func() identity.JoinRequest { r := good; r.Role = fleet.Coordinator; return r }(), problem.Forbidden, "role agent"},
		"bad request":  {func() identity.JoinRequest { r := good; r.CSR = "x"; return r }(), problem.Invalid, "cannot be signed"},
		"bad name":     {func() identity.JoinRequest { r := good; r.Name = "../x"; return r }(), problem.Invalid, "cannot be signed"},
		"bad address":  {func() identity.JoinRequest { r := good; r.Addresses.API = "x"; return r }(), problem.Invalid, "address"},
	} {
		_, err := e.Join(t.Context(), name, test.req)
		if p := problem.Of(err); p.Code != test.want || !strings.Contains(p.Detail, test.text) || p.Remedy == "" {
			t.Errorf("%s: %+v, want %s with %q", name, p, test.want, test.text)
		}
	}
}

// TestOneCodeOneNode redeems a code from many sides at once.
func TestOneCodeOneNode(t *testing.T) {
	e, _, f, _ := founded(t, CodeSpec{Role: fleet.Agent})
	var all sync.WaitGroup
	var mu sync.Mutex
	joined := 0
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		req := join(t, f.Codes[0], name)
		all.Go(func() {
			if _, err := e.Join(context.Background(), name, req); err == nil {
				mu.Lock()
				joined++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if joined != 1 {
		t.Errorf("%d nodes joined with a code for one", joined)
	}
}

func TestGuessersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _, f, _ := founded(t, CodeSpec{Role: fleet.Agent})
		guess := join(t, f.Codes[0], "pi-1")
		right := guess
		guess.Secret = "guess"
		try := func(remote string, req identity.JoinRequest) problem.Code {
			_, err := e.Join(t.Context(), remote, req)
			if err == nil {
				return ""
			}
			return problem.Of(err).Code
		}
		for i := range maxWrong {
			if got := try("evil", guess); got != problem.Forbidden {
				t.Fatalf("guess %d: %s", i+1, got)
			}
		}
		if got := try("evil", right); got != problem.Busy {
			t.Errorf("after ten wrong tries even the right code gets %q, want busy", got)
		}
		if got := try("good", right); got != "" {
			t.Errorf("another address is held back too: %s", got)
		}
		time.Sleep(window)
		if got := try("evil", guess); got != problem.Forbidden {
			t.Errorf("a minute later: %s", got)
		}
	})
}

func TestCodesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, g, _, _ := founded(t)
		text, made, err := e.NewCode(t.Context(), "token:ada", CodeSpec{Role: fleet.Agent})
		if err != nil {
			t.Fatal(err)
		}
		if made.By != "token:ada" || made.Uses != 1 || time.Until(made.Expires) != DefaultTTL {
			t.Errorf("made %+v", made)
		}
		s, _ := g.fsm.State()
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if req := join(t, text, "pi-1"); strings.Contains(string(b), req.Secret) {
			t.Error("the secret of a join code is in the state")
		}
		time.Sleep(DefaultTTL)
		_, err = e.Join(t.Context(), "ip", join(t, text, "pi-1"))
		if p := problem.Of(err); p.Code != problem.Forbidden || !strings.Contains(p.Detail, "expired") {
			t.Errorf("after its time: %+v", p)
		}
	})
}

// TestCodeOfACall: a code that is asked for again by the same call is the same one.
func TestCodeOfACall(t *testing.T) {
	e, g, _, _ := founded(t)
	ask := func(seed byte, key string) (string, fsm.Code) {
		t.Helper()
		text, made, err := e.NewCode(t.Context(), "token:ada", CodeSpec{Role: fleet.Agent, Seed: fsm.Seed{seed}, Call: fsm.Call{Key: key, Hash: key}})
		if err != nil {
			t.Fatal(err)
		}
		return text, made
	}
	before, _ := g.fsm.State()
	one, made := ask(1, "k")
	again, same := ask(1, "k")
	other, _ := ask(2, "l")
	after, _ := g.fsm.State()
	if one != again || !made.Expires.Equal(same.Expires) || made.ID != same.ID || one == other || len(after.Codes) != len(before.Codes)+2 {
		t.Errorf("made %s %+v, again %s %+v; %d codes", one, made, again, same, len(after.Codes)-len(before.Codes))
	}
}

func TestNewCodeNeedsAnAddress(t *testing.T) {
	g := &group{fsm: fsm.New()}
	ca, err := pki.Create("home", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e := &Enroller{Authority: ca, Group: g, Log: slog.New(slog.DiscardHandler)}
	if _, _, err := e.NewCode(t.Context(), "x", CodeSpec{Role: fleet.Agent}); !problem.Is(err, problem.NotReady) {
		t.Errorf("a code that leads nowhere: %v", err)
	}
}

// TestFoundingSurvivesCrashes breaks off the first run after each step.
func TestFoundingSurvivesCrashes(t *testing.T) {
	dir := t.TempDir()
	f := Founding{
		Dir: dir, Cluster: "home", Name: "c1", Codes: []CodeSpec{{Role: fleet.Agent, TTL: time.Hour}},
		Addresses: identity.Addresses{API: "c1:7480"},
	}
	if _, err := Init(f); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(f); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second init = %v, want conflict", err)
	}
	g := &group{fsm: fsm.New(), lost: errors.New("crash")}
	id := load(t, dir)
	if err := Bootstrap(t.Context(), dir, id, g); !errors.Is(err, g.lost) {
		t.Errorf("a lost answer gives %v", err)
	}
	g.lost = nil
	note, err := os.ReadFile(filepath.Join(dir, bootFile))
	if err != nil {
		t.Fatalf("the note is gone before its time: %v", err)
	}
	for range 2 { // the second time as after a crash between commit and removal
		if err := os.WriteFile(filepath.Join(dir, bootFile), note, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Bootstrap(t.Context(), dir, id, g); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := g.fsm.State()
	if len(s.Codes) != 1 || len(s.Tokens) != 1 || len(s.Nodes) != 1 {
		t.Errorf("founded twice over: %+v", s)
	}

	// A note of another identity, of an init that was broken off before a join.
	if err := os.WriteFile(filepath.Join(dir, bootFile), []byte(strings.Replace(string(note), id.KeyHash(), fsm.Hash("x"), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := &group{fsm: fsm.New()}
	if err := Bootstrap(t.Context(), dir, id, fresh); err != nil || fresh.boots != 0 {
		t.Errorf("a stale note founds a cluster: %v", err)
	}
}

func TestInitRefuses(t *testing.T) {
	for name, f := range map[string]Founding{
		"bad cluster":      {Cluster: "Home", Name: "c1"},
		"bad name":         {Cluster: "home", Name: "C 1"},
		"bad address":      {Cluster: "home", Name: "c1", Addresses: identity.Addresses{API: "x"}},
		"code to nowhere":  {Cluster: "home", Name: "c1", Codes: []CodeSpec{{Role: fleet.Agent}}},
		"code of bad role": {Cluster: "home", Name: "c1", Addresses: identity.Addresses{API: "x:1"}, Codes: []CodeSpec{{Role: "x"}}},
	} {
		f.Dir = filepath.Join(t.TempDir(), "identity")
		if _, err := Init(f); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(f.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it left something behind", name)
		}
	}
}

var _ identity.Dialer = (*net.Dialer)(nil)

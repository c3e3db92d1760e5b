package fsm

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// TestRules shows, for each command, what is refused and what is not. Every
// case begins with a cluster of c1 and the agents pi-1 (approved), pi-2
// (pending) and pi-3 (revoked), a code "one" for one agent and a code "again"
// with which names can be taken over.
func TestRules(t *testing.T) {
	join := func(code, name, key string) NodeJoin {
		return NodeJoin{Code: code, Hash: Hash("secret"), Name: name, Role: fleet.Agent, Key: Hash(key)}
	}
	with := func(j NodeJoin, change func(*NodeJoin)) NodeJoin { change(&j); return j }
	for name, test := range map[string]struct {
		after []Command // that succeed before
		cmd   Command
		late  time.Duration
		want  problem.Code // "" for success
		text  string
	}{
		"join":                      {cmd: join("one", "pi-9", "k9")},
		"join, name of a revoked":   {cmd: join("one", "pi-3", "k9")},
		"join, name taken":          {cmd: join("one", "pi-1", "k9"), want: problem.Conflict, text: "pi-1 already"},
		"join, name of coordinator": {cmd: join("again", "c1", "k9"), want: problem.Conflict, text: "c1 already"},
		"join, take over":           {cmd: join("again", "pi-1", "k9")},
		"join, revoked key":         {cmd: join("one", "pi-9", "pi-3"), want: problem.Forbidden, text: "key has been revoked"},
		"join, code used":           {after: []Command{join("one", "pi-8", "k8")}, cmd: join("one", "pi-9", "k9"), want: problem.Forbidden, text: "used already"},
		"join, answer lost":         {after: []Command{join("one", "pi-8", "k8")}, cmd: join("one", "pi-8", "k8")},
		"join, code expired":        {cmd: join("one", "pi-9", "k9"), late: 16 * time.Minute, want: problem.Forbidden, text: "expired at"},
		"join, code unknown":        {cmd: join("none", "pi-9", "k9"), want: problem.Forbidden, text: "not known"},
		"join, wrong secret":        {cmd: with(join("one", "pi-9", "k9"), func(j *NodeJoin) { j.Hash = Hash("guess") }), want: problem.Forbidden, text: "not known"},
		"join, wrong role":          {cmd: with(join("one", "c9", "k9"), func(j *NodeJoin) { j.Role = fleet.Coordinator }), want: problem.Forbidden, text: "role agent"},
		"join, bad name":            {cmd: join("one", "Pi 9", "k9"), want: problem.Invalid, text: "name"},
		"join, bad address":         {cmd: with(join("one", "pi-9", "k9"), func(j *NodeJoin) { j.Addresses.API = "x" }), want: problem.Invalid, text: "address"},
		"join, bad key":             {cmd: with(join("one", "pi-9", "k9"), func(j *NodeJoin) { j.Key = "K" }), want: problem.Invalid, text: "key"},
		"rejoin of the last, on hold": {after: []Command{
			CodeCreate{ID: "x", Hash: Hash("secret"), Role: fleet.Coordinator, Rejoin: true, Hold: true, Expires: noon.Add(time.Minute)},
		}, cmd: with(join("x", "c1", "k9"), func(j *NodeJoin) { j.Role = fleet.Coordinator }), want: problem.Conflict, text: "only coordinator"},
		"announce":                   {cmd: NodeAnnounce{Name: "pi-1", Version: "2.0"}},
		"announce, revoked":          {cmd: NodeAnnounce{Name: "pi-3"}, want: problem.Forbidden, text: "revoked"},
		"announce, unknown":          {cmd: NodeAnnounce{Name: "pi-9"}, want: problem.NotFound},
		"announce, control bytes":    {cmd: NodeAnnounce{Name: "pi-1", Version: "1\x1b[2J"}, want: problem.Invalid, text: "version"},
		"approve":                    {cmd: NodeApprove{Name: "pi-2"}},
		"approve, approved":          {cmd: NodeApprove{Name: "pi-1"}},
		"approve, revoked":           {cmd: NodeApprove{Name: "pi-3"}, want: problem.Conflict},
		"approve, unknown":           {cmd: NodeApprove{Name: "pi-9"}, want: problem.NotFound},
		"drain":                      {cmd: NodeDrain{Name: "pi-1"}},
		"drain, pending":             {cmd: NodeDrain{Name: "pi-2"}, want: problem.Conflict},
		"drain twice":                {after: []Command{NodeDrain{Name: "pi-1"}}, cmd: NodeDrain{Name: "pi-1"}},
		"undrain":                    {after: []Command{NodeDrain{Name: "pi-1"}}, cmd: NodeUndrain{Name: "pi-1"}},
		"undrain, pending":           {cmd: NodeUndrain{Name: "pi-2"}, want: problem.Conflict},
		"revoke":                     {cmd: NodeRevoke{Name: "pi-1"}},
		"revoke twice":               {cmd: NodeRevoke{Name: "pi-3"}},
		"revoke, last coordinator":   {cmd: NodeRevoke{Name: "c1"}, want: problem.Conflict, text: "only coordinator"},
		"init again":                 {cmd: ClusterInit{Name: "home", Node: Node{Name: "c1", Key: Hash("c1")}}},
		"init, another name":         {cmd: ClusterInit{Name: "other", Node: Node{Name: "c1", Key: Hash("c1")}}, want: problem.Conflict, text: "home already"},
		"code again":                 {cmd: CodeCreate{ID: "one", Hash: Hash("secret"), Role: fleet.Agent, Expires: noon.Add(time.Hour)}},
		"code, id taken":             {cmd: CodeCreate{ID: "one", Hash: Hash("other"), Role: fleet.Agent, Expires: noon.Add(time.Hour)}, want: problem.Conflict},
		"code, expired":              {cmd: CodeCreate{ID: "x", Hash: Hash("x"), Role: fleet.Agent, Expires: noon}, want: problem.Invalid, text: "lifetime"},
		"code, for ever":             {cmd: CodeCreate{ID: "x", Hash: Hash("x"), Role: fleet.Agent, Expires: noon.Add(1000 * time.Hour)}, want: problem.Invalid, text: "lifetime"},
		"code, bad role":             {cmd: CodeCreate{ID: "x", Hash: Hash("x"), Role: "root", Expires: noon.Add(time.Hour)}, want: problem.Invalid, text: "role"},
		"code, too many uses":        {cmd: CodeCreate{ID: "x", Hash: Hash("x"), Role: fleet.Agent, Uses: 1001, Expires: noon.Add(time.Hour)}, want: problem.Invalid, text: "uses"},
		"token, bad access":          {cmd: TokenCreate{ID: "x", Name: "ada", Hash: Hash("x"), Access: "root"}, want: problem.Invalid, text: "access level"},
		"token, bad name":            {cmd: TokenCreate{ID: "x", Name: "Ada\n", Hash: Hash("x"), Access: Viewer}, want: problem.Invalid, text: "name"},
		"backup":                     {cmd: BackupRecord{Node: "c1", At: noon, Verified: noon, Path: "/nas/x"}},
		"backup, failed":             {cmd: BackupRecord{Node: "c1", At: noon, Error: "no space left on device"}},
		"backup, not verified":       {cmd: BackupRecord{Node: "c1", At: noon, Path: "/nas/x"}, want: problem.Invalid, text: "record of a backup"},
		"backup, control bytes":      {cmd: BackupRecord{Node: "c1", At: noon, Error: "\x1b[2J"}, want: problem.Invalid, text: "record of a backup"},
		"backup, endless error":      {cmd: BackupRecord{Node: "c1", At: noon, Error: strings.Repeat("x", 257)}, want: problem.Invalid, text: "record of a backup"},
		"revoke token, last admin":   {cmd: TokenRevoke{ID: "t1"}, want: problem.Conflict, text: "last token"},
		"revoke token, unknown":      {cmd: TokenRevoke{ID: "t9"}, want: problem.NotFound},
		"revoke token, another left": {after: []Command{TokenCreate{ID: "t2", Name: "ada", Hash: Hash("x"), Access: Admin}}, cmd: TokenRevoke{ID: "t1"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := New()
			begin := append([]Command{
				ClusterInit{Name: "home", Node: Node{Name: "c1", Key: Hash("c1")}, Token: TokenCreate{ID: "t1", Name: "admin", Hash: Hash("t"), Access: Admin}},
				CodeCreate{ID: "first", Hash: Hash("secret"), Role: fleet.Agent, Uses: 2, Expires: noon.Add(15 * time.Minute)},
				CodeCreate{ID: "hold", Hash: Hash("secret"), Role: fleet.Agent, Hold: true, Expires: noon.Add(15 * time.Minute)},
				CodeCreate{ID: "one", Hash: Hash("secret"), Role: fleet.Agent, Expires: noon.Add(15 * time.Minute)},
				CodeCreate{ID: "again", Hash: Hash("secret"), Role: fleet.Agent, Rejoin: true, Expires: noon.Add(15 * time.Minute)},
				join("first", "pi-1", "pi-1"), join("hold", "pi-2", "pi-2"), join("first", "pi-3", "pi-3"),
				NodeRevoke{Name: "pi-3"},
			}, test.after...)
			for i, c := range begin {
				if r := apply(t, f, uint64(i+1), noon, c); r.Err != nil {
					t.Fatalf("%s: %v", c.Kind(), r.Err)
				}
			}
			before, _ := f.State()
			r := apply(t, f, 100, noon.Add(test.late), test.cmd)
			if test.want == "" {
				if r.Err != nil {
					t.Errorf("refused: %v", r.Err)
				}
				return
			}
			p := problem.Of(r.Err)
			if p.Code != test.want || !strings.Contains(p.Detail, test.text) || p.Remedy == "" {
				t.Errorf("%+v, want %s with %q and a remedy", p, test.want, test.text)
			}
			after, _ := f.State()
			before.Index = after.Index
			if before.Checksum() != after.Checksum() {
				t.Error("a command that was refused has changed the state")
			}
		})
	}
}

func TestRefused(t *testing.T) {
	f := New()
	for i, c := range samples[:10] {
		apply(t, f, uint64(i+1), noon, c)
	}
	s, _ := f.State()
	id := func(name string) identity.ID { return identity.ID{Cluster: "home", Role: fleet.Agent, Name: name} }
	for name, test := range map[string]struct {
		id   identity.ID
		key  string
		want bool
	}{
		"member":               {id("c1"), Hash("key of c1"), false},
		"revoked":              {id("pi-1"), Hash("second key of pi-1"), true},
		"revoked, other key":   {id("pi-1"), Hash("another"), true},
		"revoked key, renamed": {id("pi-9"), Hash("key of pi-1"), true},
		"not yet known here":   {id("pi-9"), Hash("another"), false},
	} {
		if got := s.Refused(test.id, test.key); got != test.want {
			t.Errorf("%s: refused %t", name, got)
		}
	}
	if !s.Prunable(noon.Add(40*24*time.Hour)) || s.Prunable(noon) {
		t.Error("Prunable is wrong")
	}
	apply(t, f, 50, noon.Add(40*24*time.Hour), Prune{})
	s, _ = f.State()
	if len(s.Denied) != 0 || len(s.Codes) != 0 || s.Prunable(noon.Add(41*24*time.Hour)) {
		t.Errorf("left after pruning: %v %v", s.Denied, s.Codes)
	}
}

// TestRenew: whatever key a node had is shut out with it, and only its own
// certificates renew.
func TestRenew(t *testing.T) {
	f := New()
	for i, c := range samples[:6] {
		apply(t, f, uint64(i+1), noon, c)
	}
	index := uint64(10)
	do := func(c Command) problem.Code {
		index++
		r := apply(t, f, index, noon.Add(time.Hour), c)
		if r.Err == nil {
			return ""
		}
		return problem.Of(r.Err).Code
	}
	first, second, third, fourth := Hash("key of pi-1"), Hash("second key of pi-1"), Hash("third key of pi-1"), Hash("fourth key")
	lost := Hash("a key that was given after a backup")
	for _, test := range []struct {
		name string
		c    Command
		want problem.Code
	}{
		{"the same again", NodeRenew{"pi-1", first, second}, ""},
		{"by another node's certificate", NodeRenew{"pi-1", Hash("key of c1"), third}, problem.Forbidden},
		{"of nobody", NodeRenew{"pi-7", first, third}, problem.NotFound},
		{"no hash", NodeRenew{"pi-1", second, "x"}, problem.Invalid},
		{"back to the first", NodeRenew{"c1", Hash("key of c1"), first}, problem.Conflict},
		{"by the former", NodeRenew{"pi-1", first, third}, ""},
		{"by one of after the backup", NodeRenew{"pi-1", lost, fourth}, ""},
		{"revoke", NodeRevoke{"pi-1"}, ""},
		{"once revoked", NodeRenew{"pi-1", third, Hash("fifth")}, problem.Forbidden},
		{"a code", CodeCreate{ID: "k9", Hash: Hash("secret of k9"), Role: fleet.Agent, Uses: 1, Expires: noon.Add(2 * time.Hour)}, ""},
		{"back in the fleet", NodeJoin{Code: "k9", Hash: Hash("secret of k9"), Name: "pi-1", Role: fleet.Agent, Key: Hash("new key of pi-1")}, ""},
		{"by a key of old", NodeRenew{"pi-1", second, Hash("fifth")}, problem.Forbidden},
	} {
		if got := do(test.c); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	s, _ := f.State()
	for _, key := range []string{first, second, third, fourth, lost} {
		if !s.Refused(identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi-1"}, key) {
			t.Errorf("a key of before the revocation is good again")
		}
	}
	if len(s.Former) != 0 || s.Refused(identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi-1"}, Hash("new key of pi-1")) {
		t.Errorf("former keys %v", s.Former)
	}
}

func TestRenewIsBounded(t *testing.T) {
	f := New()
	for i, c := range samples[:5] {
		apply(t, f, uint64(i+1), noon, c)
	}
	key := Hash("key of pi-1")
	for i := range maxFormer + 1 {
		next := Hash(fmt.Sprint("key ", i))
		r := apply(t, f, uint64(20+i), noon, NodeRenew{"pi-1", key, next})
		if refused := problem.Is(r.Err, problem.Conflict); refused != (i == maxFormer) {
			t.Fatalf("renewal %d: %v", i, r.Err)
		}
		key = next
	}
	apply(t, f, 200, noon.Add(33*24*time.Hour), Prune{})
	if s, _ := f.State(); len(s.Former) != 0 {
		t.Errorf("%d former keys are left", len(s.Former))
	}
}

func TestAuthenticate(t *testing.T) {
	text, cmd := NewToken("ada", Operator)
	f := New()
	apply(t, f, 1, noon, samples[0])
	if r := apply(t, f, 2, noon, cmd); r.Err != nil {
		t.Fatal(r.Err)
	}
	s, _ := f.State()
	if actor, access, ok := s.Authenticate(text); actor != "token:ada" || access != Operator || !ok {
		t.Errorf("Authenticate = %q, %q, %t", actor, access, ok)
	}
	for _, wrong := range []string{
		"", "pst_", "pst__", "_", text + "x", text[:len(text)-1], text[:10], strings.ToUpper(text), strings.TrimPrefix(text, "pst_"),
		"pst_" + cmd.ID + "_", "pst_" + cmd.ID + "_" + cmd.Hash, "pst_nobody_x", strings.Repeat("x", 1e6),
	} {
		if _, _, ok := s.Authenticate(wrong); ok {
			t.Errorf("%.60q was accepted", wrong)
		}
	}
	b, err := Encode(noon, "x", cmd)
	if err != nil {
		t.Fatal(err)
	}
	if secret := text[strings.LastIndex(text, "_")+1:]; strings.Contains(string(b), secret) || len(secret) < 26 {
		t.Error("the token's secret is in the log, or it is too short")
	}
}

// TestOpenEntry reads entries as Encode writes them, and as somebody else may.
func TestOpenEntry(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	written, err := Encode(at, `token:,"body":{}`, NodeDrain{Name: `a,"body":b`})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"as written":    string(written),
		"another order": `{"body":{"name":"a,\"body\":b"},"kind":"node.drain","at":"2026-01-02T03:04:05Z","actor":"token:,\"body\":{}"}`,
		"with blanks":   `{"kind":"node.drain", "at":"2026-01-02T03:04:05Z", "actor":"token:,\"body\":{}", "body":{"name":"a,\"body\":b"}}`,
		"body not last": `{"kind":"node.drain","at":"2026-01-02T03:04:05Z","body":{"name":"a,\"body\":b"},"actor":"token:,\"body\":{}"}`,
	} {
		var want Entry
		if err := json.Unmarshal([]byte(data), &want); err != nil {
			t.Fatal(err)
		}
		got, err := openEntry([]byte(data))
		if err != nil || got.Kind != want.Kind || got.Actor != want.Actor || !got.At.Equal(want.At) || string(got.Body) != string(want.Body) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	if e, err := openEntry([]byte(`{"kind":"x"`)); err == nil {
		t.Errorf("half an entry is %+v", e)
	}
}

// TestSharedKey: of two nodes that joined with one key, each renews by it, on every
// coordinator alike.
func TestSharedKey(t *testing.T) {
	for round := range 32 { // the order in which a map is walked is another each time
		f := New()
		for i, c := range samples[:6] {
			apply(t, f, uint64(i+1), noon, c)
		}
		key := Hash("a key of two")
		for i, c := range []Command{
			CodeCreate{ID: "k9", Hash: Hash("secret of k9"), Role: fleet.Agent, Uses: 2, Expires: noon.Add(2 * time.Hour)},
			NodeJoin{Code: "k9", Hash: Hash("secret of k9"), Name: "twin-1", Role: fleet.Agent, Key: key},
			NodeJoin{Code: "k9", Hash: Hash("secret of k9"), Name: "twin-2", Role: fleet.Agent, Key: key},
			NodeRenew{"twin-2", key, Hash("its own")},
		} {
			if r := apply(t, f, uint64(10+i), noon.Add(time.Hour), c); r.Err != nil {
				t.Fatalf("round %d, %T: %v", round, c, r.Err)
			}
		}
	}
}

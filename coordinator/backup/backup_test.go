package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/coordinator/pki"
	"primespark/shared/envelope"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// apply puts commands into a state machine, as raft does.
func apply(t testing.TB, f *fsm.FSM, commands ...fsm.Command) fsm.State {
	t.Helper()
	for _, c := range commands {
		s, _ := f.State()
		data, err := fsm.Encode(noon, "token:ada", c)
		if err != nil {
			t.Fatal(err)
		}
		f.Apply(&raft.Log{Index: s.Index + 1, Data: data})
	}
	s, _ := f.State()
	return s
}

// random is a state that nobody has seen before.
func random(t testing.TB, r *rand.Rand) fsm.State {
	f := fsm.New()
	_, token := fsm.NewToken("admin", fsm.Admin)
	apply(t, f, fsm.ClusterInit{Name: "home", Node: fsm.Node{Name: "c1", Key: fsm.Hash("c1")}, Token: token})
	for range r.IntN(60) {
		n := fmt.Sprintf("pi-%d", r.IntN(8))
		code := fmt.Sprintf("k%d", r.IntN(20))
		apply(t, f, []fsm.Command{
			fsm.CodeCreate{ID: code, Hash: fsm.Hash(code), Role: fleet.Agent, Rejoin: r.IntN(2) == 0, Expires: noon.Add(time.Hour)},
			fsm.NodeJoin{Code: code, Hash: fsm.Hash(code), Name: n, Role: fleet.Agent, Key: fsm.Hash(n + code)},
			fsm.NodeRevoke{Name: n},
			fsm.NodeDrain{Name: n},
			fsm.NodeAnnounce{Name: n, Version: "x<&>\"\\ ~"},
			fsm.BackupRecord{Node: "c1", At: noon.Add(time.Duration(r.IntN(99)) * time.Hour), Verified: noon, Path: "/nas/x"},
		}[r.IntN(6)])
	}
	s, _ := f.State()
	return s
}

func keys(t testing.TB) Keys {
	t.Helper()
	ca, err := pki.Create("home", noon)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ca.Key()
	if err != nil {
		t.Fatal(err)
	}
	return Keys{ca.PEM(), key, bytes.Repeat([]byte{1}, identity.KeySize), bytes.Repeat([]byte{2}, identity.KeySize)}
}

// operator is a person with a key.
func operator(t testing.TB) (Recipient, Identity) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	to, err := ParseRecipient(key.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	id, err := ParseIdentity(strings.NewReader("# made for a test\n" + key.String() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return to, id
}

func save(t testing.TB, c Contents, to Recipient) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.psb")
	if _, err := SaveFile(path, c, to); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRandomStatesComeBack: whatever the state, what is restored has its checksum.
func TestRandomStatesComeBack(t *testing.T) {
	to, id := operator(t)
	k := keys(t)
	for seed := range uint64(40) {
		c := Contents{Keys: k, State: random(t, rand.New(rand.NewPCG(seed, 1))), At: noon, Version: "1.0"}
		got, err := Read(bytes.NewReader(save(t, c, to)), id)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if got.State.Checksum() != c.State.Checksum() || got.State.Index != c.State.Index || !got.Keys.equal(k) || !got.At.Equal(noon) || got.Version != "1.0" {
			t.Fatalf("seed %d: what comes back is not what was saved", seed)
		}
	}
}

// TestNothingIsInTheClear: neither keys nor the state, nor a hash of a secret.
func TestNothingIsInTheClear(t *testing.T) {
	to, _ := operator(t)
	c := Contents{Keys: keys(t), State: random(t, rand.New(rand.NewPCG(1, 1))), At: noon}
	b := save(t, c, to)
	for what, secret := range map[string][]byte{
		"the authority's key": c.Keys.CAKey, "a line of it": bytes.Split(c.Keys.CAKey, []byte("\n"))[1],
		"the gossip key": c.Keys.Gossip, "the session key": c.Keys.Session,
		"the state": []byte(`"nodes"`), "a hash": []byte(fsm.Hash("c1")), "PEM": []byte("PRIVATE KEY"),
	} {
		if bytes.Contains(b, secret) {
			t.Errorf("%s is in the file", what)
		}
	}
}

func TestAnotherKeyIsRefused(t *testing.T) {
	to, _ := operator(t)
	_, other := operator(t)
	_, err := Read(bytes.NewReader(save(t, Contents{Keys: keys(t), State: random(t, rand.New(rand.NewPCG(1, 1))), At: noon}, to)), other)
	if p := problem.Of(err); p.Code != problem.Forbidden || !strings.Contains(p.Detail, "made for another one") || errors.Is(err, ErrDamaged) {
		t.Errorf("%v (%s), want a refusal with words", err, p.Code)
	}
}

// TestEveryFlippedByteIsRefused goes through the whole file, and then through a
// file whose outer checksum somebody put right again.
func TestEveryFlippedByteIsRefused(t *testing.T) {
	to, id := operator(t)
	good := save(t, Contents{Keys: keys(t), State: random(t, rand.New(rand.NewPCG(1, 1))), At: noon}, to)
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x10
		if _, err := Read(bytes.NewReader(b), id); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d of %d changed: %v, want ErrDamaged", i, len(good), err)
		}
	}
	h, body, err := envelope.Open(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	inner, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(h envelope.Header, inner []byte) []byte {
		var b bytes.Buffer
		w, err := envelope.NewWriter(&b, h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(inner); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for i := 0; i < len(inner); i += 29 {
		b := bytes.Clone(inner)
		b[i] ^= 0x10
		if _, err := Read(bytes.NewReader(forge(h, b)), id); err == nil {
			t.Fatalf("byte %d of the body forged: it is accepted", i)
		}
	}
	h.Checksum = fsm.Hash("another state")
	if _, err := Read(bytes.NewReader(forge(h, inner)), id); !errors.Is(err, ErrDamaged) {
		t.Errorf("a forged header: %v, want ErrDamaged", err)
	}
}

// A liar is a disk that gives back something else than was written to it.
type liar struct {
	bytes.Reader
	written bytes.Buffer
	lie     func([]byte) []byte
}

func (l *liar) Write(b []byte) (int, error) { return l.written.Write(b) }

func (l *liar) Seek(offset int64, whence int) (int64, error) {
	if l.Size() == 0 {
		l.Reset(l.lie(l.written.Bytes()))
	}
	return l.Reader.Seek(offset, whence)
}

func TestSaveFindsADiskThatLies(t *testing.T) {
	to, _ := operator(t)
	k := keys(t)
	c := Contents{Keys: k, State: random(t, rand.New(rand.NewPCG(1, 1))), At: noon}
	if _, err := Save(&liar{lie: bytes.Clone}, c, to); err != nil {
		t.Errorf("an honest disk: %v", err)
	}
	for name, lie := range map[string]func([]byte) []byte{
		"a flipped bit": func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b },
		"cut off":       func(b []byte) []byte { return b[:len(b)-5] },
		"another file":  func([]byte) []byte { return save(t, Contents{Keys: k, State: c.State, At: noon}, to) },
	} {
		if _, err := Save(&liar{lie: lie}, c, to); err == nil {
			t.Errorf("%s: it is taken for verified", name)
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	to, _ := operator(t)
	good := Contents{Keys: keys(t), State: random(t, rand.New(rand.NewPCG(1, 1))), At: noon}
	for name, test := range map[string]struct {
		change func(*Contents)
		to     Recipient
		want   string
	}{
		"nobody to encrypt to":   {func(*Contents) {}, Recipient{}, "no public key"},
		"no cluster":             {func(c *Contents) { c.State = fsm.State{} }, to, "the state is of cluster"},
		"another cluster's keys": {func(c *Contents) { c.Keys.CA = keys(t).CA }, to, "authority"},
		"a short key":            {func(c *Contents) { c.Keys.Gossip = nil }, to, "gossip key"},
	} {
		c := good
		test.change(&c)
		path := filepath.Join(t.TempDir(), "b.psb")
		if _, err := SaveFile(path, c, test.to); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
			t.Errorf("%s: %d files are left behind, %v", name, len(left), err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "age1", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1QQQ", strings.Repeat("x", 1e5)} {
		if _, err := ParseRecipient(text); problem.Of(err).Remedy == "" {
			t.Errorf("recipient %.20q: %v", text, err)
		}
		_, err := ParseIdentity(strings.NewReader(text))
		if p := problem.Of(err); p.Code != problem.Invalid || strings.Contains(err.Error(), "QQQ") {
			t.Errorf("key file %.20q: %v, want a refusal that does not quote it", text, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	to, id := operator(f)
	good := save(f, Contents{Keys: keys(f), State: random(f, rand.New(rand.NewPCG(1, 1))), At: noon}, to)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("{\"prime_spark_backup\":1}\nage-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(bytes.NewReader(data), id)
		if err == nil && !bytes.Equal(data, good) {
			t.Errorf("%d bytes that nobody wrote are a backup of %q", len(data), c.State.Cluster.Name)
		}
		// The same bytes under a right checksum, so that the inner reader is tried too.
		var b bytes.Buffer
		w, err := envelope.NewWriter(&b, envelope.Header{Cluster: "home"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(bytes.NewReader(b.Bytes()), id); err == nil {
			t.Error("a body that nobody encrypted is accepted")
		}
	})
}

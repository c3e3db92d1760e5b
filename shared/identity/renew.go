package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/run"
)

// RenewPath is where a coordinator's API takes a RenewRequest by POST, from a
// node that shows its present certificate.
const RenewPath = "/v1/renew"

// A RenewRequest asks for another certificate of the node that sends it.
type RenewRequest struct {
	CSR string `json:"csr"` // PEM, of a fresh key
}

// A RenewResponse is the answer.
type RenewResponse struct {
	Certificate string `json:"certificate"` // PEM: the node's, then the authority's
}

// Expiring is the condition of a node whose certificate ends soon, or has ended,
// and could not be renewed.
const Expiring health.Code = "certificate_expiring"

// A Renewal is the part that gives its node a fresh certificate, with a fresh
// key, at two thirds of the life of the present one. Connections that are open
// stay. A node that is away for longer goes on by itself, and says how it comes
// back.
type Renewal struct {
	Identity *Identity
	Dir      string // of the identity's files
	// Ask has a coordinator sign the request.
	Ask        func(context.Context, RenewRequest) (RenewResponse, error)
	Renewed    func() // called after each renewal; nil: nobody minds
	Conditions *health.Registry
	Log        *slog.Logger
}

// askTime bounds one try.
const askTime = 30 * time.Second

func (*Renewal) String() string { return "certificate renewal" }

// Run renews until ctx ends. A renewal that fails is tried again, at first soon
// and then ever more seldom.
func (r *Renewal) Run(ctx context.Context) error {
	var failed error
	var wait time.Duration
	for {
		leaf := r.Identity.cert.Load().Leaf
		least, most := pauses(leaf)
		r.report(leaf, failed, time.Now())
		if until := time.Until(renewAt(leaf)); until > 0 {
			failed, wait = nil, 0
			if !run.Sleep(ctx, min(until, most)) { // not all at once: the clock may be set
				return nil
			}
			continue
		}
		err := r.renew(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			r.Log.Info("certificate renewed", "expires", r.Identity.Expires())
			failed, wait = nil, 0
			if r.Renewed != nil {
				r.Renewed()
			}
			continue
		}
		if failed == nil {
			r.Log.Warn("certificate not renewed, trying again", "err", err, "expires", leaf.NotAfter)
		}
		failed, wait = err, min(max(2*wait, least), most)
		if !run.Sleep(ctx, run.Jitter(wait)) {
			return nil
		}
	}
}

// renewAt is when a certificate is due: two thirds into its life and up to a
// twentieth of it later, by its key, so that nodes that joined together do not
// ask together.
func renewAt(leaf *x509.Certificate) time.Time {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	hash := CAHash(leaf)
	return leaf.NotBefore.Add(life*2/3 + life/20/256*time.Duration(hash[0]))
}

// pauses are the shortest and the longest wait between two tries: a minute and an
// hour for a certificate of 30 days.
func pauses(leaf *x509.Certificate) (least, most time.Duration) {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return min(time.Minute, life/100), min(time.Hour, life/20)
}

// report keeps the condition of a certificate that has less than a sixth of its
// life left.
func (r *Renewal) report(leaf *x509.Certificate, cause error, now time.Time) {
	left, life := leaf.NotAfter.Sub(now), leaf.NotAfter.Sub(leaf.NotBefore)
	if left >= life/6 {
		r.Conditions.Clear(Expiring)
		return
	}
	why := "it has not been tried yet"
	if cause != nil {
		why = cause.Error()
	}
	end := leaf.NotAfter.UTC().Format(time.RFC3339)
	if left > 0 {
		r.Conditions.Set(Expiring, health.Warning,
			fmt.Sprintf("The node's certificate ends at %s and could not be renewed: %s.", end, why),
			"Let the node reach a coordinator before then; it tries again by itself.")
		return
	}
	r.Conditions.Set(Expiring, health.Warning,
		fmt.Sprintf("The node's certificate ended at %s, and the other nodes refuse it; it goes on by itself.", end), rejoin(r.Identity.id))
}

// rejoin says how a node comes back whose certificate has ended or is revoked.
func rejoin(id ID) string {
	if id.Role == fleet.Coordinator {
		return "Check the clock; or run prime-spark revoke " + id.Name + ", empty its state_dir, and join it as a new coordinator."
	}
	return "Check the clock; or have a code made with prime-spark join-code create --role agent --rejoin, run prime-spark-agent join --name " + id.Name + " with it, and start the agent anew: it keeps its name and its data."
}

// renew does it once. The fresh key is on the disk before anybody is asked, so
// that a try whose answer is lost is taken up again with the same key, and the
// certificate is on the disk, with its key in one file, before it is used.
func (r *Renewal) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	key, err := r.nextKey()
	if err != nil {
		return err
	}
	csr, err := request(r.Identity.id.Name, key)
	if err != nil {
		return err
	}
	answer, err := r.Ask(ctx, RenewRequest{CSR: csr})
	if err != nil {
		return err
	}
	pair, err := r.Identity.successor([]byte(answer.Certificate), key)
	if err != nil {
		return err
	}
	if err := WriteFile(r.Dir, renewedFile, append(bytes.Clone(key), answer.Certificate...)); err != nil {
		return fmt.Errorf("keep the renewed certificate: %w", err)
	}
	r.Identity.cert.Store(pair)
	if err := os.Remove(filepath.Join(r.Dir, nextFile)); err != nil {
		return fmt.Errorf("remove the key that is in use now: %w", err)
	}
	return nil
}

// nextKey returns the key to ask with: the one of a try that got no answer, or a
// fresh one. One that is in use already, after a crash, is not used again.
func (r *Renewal) nextKey() ([]byte, error) {
	key, err := ReadFile(r.Dir, nextFile)
	if err == nil {
		hash, err := keyHash(key)
		if err == nil && hash != r.Identity.KeyHash() {
			return key, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the next key: %w", err)
	}
	if key, err = makeKey(); err != nil {
		return nil, err
	}
	if err := WriteFile(r.Dir, nextFile, key); err != nil {
		return nil, fmt.Errorf("keep the next key: %w", err)
	}
	return key, nil
}

// keyHash is the KeyHash of the certificates of a private key, PEM.
func keyHash(key []byte) (string, error) {
	k, err := parseKey(key)
	if err != nil {
		return "", err
	}
	spki, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return "", err
	}
	return KeyHash(&x509.Certificate{RawSubjectPublicKeyInfo: spki}), nil
}

// renewed returns what the last renewal wrote, certificate and key, PEM; nothing
// if there was none since the node joined.
func renewed(dir string) (cert, key []byte, err error) {
	b, err := ReadFile(dir, renewedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, nil, fmt.Errorf("%s: it does not begin with a key in PEM form", filepath.Join(dir, renewedFile))
	}
	return rest, pem.EncodeToMemory(block), nil
}

// successor checks that a certificate may take the place of the present one.
func (i *Identity) successor(cert, key []byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("renew certificate: %w", err)
	}
	id, err := OfCertificate(pair.Leaf)
	if err != nil {
		return nil, fmt.Errorf("renew certificate: %w", err)
	}
	if id != i.id {
		return nil, fmt.Errorf("renew certificate: it is of %s, this node is %s", id, i.id)
	}
	if err := pair.Leaf.CheckSignatureFrom(i.ca); err != nil {
		return nil, fmt.Errorf("renew certificate: %w", err)
	}
	return &pair, nil
}

package api

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// keyed is a call by its Idempotency-Key; zero if it has none.
func keyed(r *call, body []byte) (fsm.Call, error) {
	key := r.Header.Get(wire.HeaderKey)
	if key == "" {
		return fsm.Call{}, nil
	}
	if len(key) > task.MaxKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return fsm.Call{}, problem.New(problem.Invalid, "Use at most 128 printable characters of ASCII.", "The %s is not valid.", wire.HeaderKey)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s\n", r.Method, r.URL.Path)
	sum.Write(body)
	return fsm.Call{Key: key, Hash: hex.EncodeToString(sum.Sum(nil))}, nil
}

// markOnce notes the Idempotency-Key of a call that changes what is agreed on, for
// propose. Calls about tasks read theirs themselves, since many share an entry;
// joining and renewing are told apart by the node's key, and objects by what they are.
func (r *call) markOnce(row Route) error {
	if row.Audit == "" || row.Permission != Operate && row.Permission != Administer || strings.HasPrefix(row.Audit, "task.") ||
		r.Header.Get(wire.HeaderKey) == "" {
		return nil
	}
	body, err := io.ReadAll(r.Body) // its handler's bound is set
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.ContentLength < 0 {
		r.ContentLength = int64(len(body))
	}
	r.once, err = keyed(r, body)
	return err
}

// seed is what a secret is made of that a call is answered with. No secret is kept
// anywhere, so that a call that is sent again could not be answered as it was: with
// an Idempotency-Key the secret is made of that and of the cluster's own, and so is
// the same again on every coordinator.
func (a *API) seed(r *call) fsm.Seed {
	if r.once == (fsm.Call{}) {
		return fsm.NewSeed()
	}
	m := hmac.New(sha256.New, a.cfg.SessionKey)
	fmt.Fprintf(m, "a secret for one call\n%s\n%s\n%s", r.who.Actor, r.once.Key, r.once.Hash)
	return fsm.Seed(m.Sum(nil))
}

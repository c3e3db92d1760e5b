package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// JoinPath is where a coordinator's API takes a JoinRequest by POST.
const JoinPath = "/v1/join"

// Addresses are where others reach a node, each host:port.
type Addresses struct {
	API    string `json:"api,omitempty"`
	Raft   string `json:"raft,omitempty"` // coordinators only
	Gossip string `json:"gossip,omitempty"`
}

// Check reports the first address that is not of the form host:port.
func (a Addresses) Check() error {
	for _, one := range []string{a.API, a.Raft, a.Gossip} {
		if one == "" {
			continue
		}
		if err := CheckAddress(one); err != nil {
			return err
		}
	}
	return nil
}

// A JoinRequest is what a new node sends. Join fills in the first three fields
// and the CSR; the caller gives the rest.
type JoinRequest struct {
	Code      string     `json:"code"`   // JoinCode.ID
	Secret    string     `json:"secret"` // JoinCode.Secret in hexadecimal
	Role      fleet.Role `json:"role"`
	CSR       string     `json:"csr"` // PEM
	Name      string     `json:"name"`
	Addresses Addresses  `json:"addresses"`
	Version   string     `json:"version"`
}

// A JoinResponse is the answer: all that a member has, save its private key.
type JoinResponse struct {
	Certificate string   `json:"certificate"`           // PEM: the node's, then the authority's
	CA          string   `json:"ca"`                    // PEM
	GossipKey   []byte   `json:"gossip_key"`            // KeySize bytes
	GossipKeys  *Keyring `json:"gossip_keys,omitempty"` // of which it is the one to encrypt with
	Peers       Peers    `json:"peers"`
	CAKey       string   `json:"ca_key,omitempty"`      // PEM; coordinators only
	SessionKey  []byte   `json:"session_key,omitempty"` // KeySize bytes; coordinators only
}

// A Dialer opens connections; *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Bounds of one try at one address.
const (
	joinTimeout = 30 * time.Second
	maxAnswer   = 1 << 20
)

// Join makes a key, has the coordinators sign it, and returns the credentials,
// which the caller saves. It tries the code's addresses in turn until ctx ends.
//
// The secret leaves the node only after the other end of the connection has
// proved, within the handshake, that it is a coordinator of the cluster whose
// authority the code pins. Every error is a problem with a remedy: not of that
// cluster, nobody there, and whatever the coordinator answered (expired, used
// up, wrong role, name taken).
func Join(ctx context.Context, d Dialer, code JoinCode, req JoinRequest) (Credentials, error) {
	if err := code.Check(); err != nil {
		return Credentials{}, problem.New(problem.Invalid, "Have a new join code made.", "The join code cannot be used: %v.", err)
	}
	if req.Role != "" && req.Role != code.Role {
		return Credentials{}, problem.New(problem.Invalid,
			fmt.Sprintf("Join it as %s, or have a code made with --role %s.", code.Role, req.Role),
			"The join code is for a node of role %s, and this one is of role %s.", code.Role, req.Role)
	}
	if !fleet.ValidName(req.Name) {
		return Credentials{}, problem.New(problem.Invalid, "Choose one with --name: 1 to 32 of a-z, 0-9 and hyphen.",
			"The node name %.64q is not valid.", req.Name)
	}
	key, csr, err := newKey(req.Name)
	if err != nil {
		return Credentials{}, err
	}
	req.Code, req.Secret, req.Role, req.CSR = code.ID, hex.EncodeToString(code.Secret[:]), code.Role, csr
	var worst error
	for _, address := range code.Addresses {
		c, err := joinAt(ctx, d, address, code, req, key)
		if err == nil {
			return c, nil
		}
		// The last word counts, save that silence says less than an answer.
		if worst == nil || !problem.Is(err, problem.Unreachable) {
			worst = err
		}
		if final(err) || ctx.Err() != nil {
			break
		}
	}
	return Credentials{}, worst
}

// final reports whether another coordinator would give the same answer.
func final(err error) bool {
	switch problem.Of(err).Code {
	case problem.Unreachable, problem.Unauthorized, problem.NoLeader, problem.NoQuorum, problem.NotReady, problem.Unexpected:
		return false
	}
	return true
}

// newKey makes the node's key and the request to sign it, both PEM.
func newKey(name string) (key []byte, csr string, err error) {
	if key, err = makeKey(); err != nil {
		return nil, "", err
	}
	csr, err = request(name, key)
	return key, csr, err
}

// makeKey makes a private key, PEM.
func makeKey() ([]byte, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseKey reads what makeKey wrote.
func parseKey(key []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("no key in PEM form")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	k, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T, want ECDSA", parsed)
	}
	return k, nil
}

// request makes the request to sign a key, PEM. The authority takes no name from
// it; the subject is for people.
func request(name string, key []byte) (string, error) {
	k, err := parseKey(key)
	if err != nil {
		return "", fmt.Errorf("make certificate request: %w", err)
	}
	template := x509.CertificateRequest{}
	template.Subject.CommonName = name
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, k)
	if err != nil {
		return "", fmt.Errorf("make certificate request: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// NewKey makes a key and a request to sign it, both PEM, for a node that is not
// joined by Join: the first coordinator, and tests.
func NewKey(name string) (key, csr []byte, err error) {
	key, text, err := newKey(name)
	return key, []byte(text), err
}

// errOther tells that the other end is not of the code's cluster.
var errOther = errors.New("not of the cluster that the code was made for")

// joinAt tries one address.
func joinAt(ctx context.Context, d Dialer, address string, code JoinCode, req JoinRequest, key []byte) (Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	transport := &http.Transport{
		DialContext: d.DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS13,
			InsecureSkipVerify: true, // there is no authority to verify with yet; pinned does it
			VerifyConnection:   func(cs tls.ConnectionState) error { return pinned(cs, code) },
		},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true,
	}
	body, err := json.Marshal(req)
	if err != nil {
		return Credentials{}, fmt.Errorf("encode join request: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+JoinPath, bytes.NewReader(body))
	if err != nil {
		return Credentials{}, problem.New(problem.Invalid, "Have a new join code made.", "The address %.64q of the join code is not valid.", address)
	}
	r.Header.Set("Content-Type", "application/json")
	client := &http.Client{
		Transport: transport,
		// A coordinator answers itself; the secret goes nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(r)
	switch {
	case errors.Is(err, errOther):
		return Credentials{}, &problem.Error{
			Code: problem.Unauthorized, Err: err,
			Detail: fmt.Sprintf("The machine at %s is no coordinator of cluster %s, which the join code was made for; it was told nothing.", address, code.Cluster),
			Remedy: "Check the address and who is behind it; if the cluster was made anew, have a new join code made there.",
		}
	case err != nil:
		return Credentials{}, &problem.Error{
			Code: problem.Unreachable, Err: err,
			Detail: fmt.Sprintf("No coordinator answers at %s.", address),
			Remedy: "Check that it runs and that this machine can reach it, then try again with the same code.",
		}
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return Credentials{}, &problem.Error{
			Code: problem.Unreachable, Err: err,
			Detail: fmt.Sprintf("The coordinator at %s broke off in the middle of its answer.", address),
			Remedy: "Try again with the same code; if it is used up, have a new one made.",
		}
	}
	if res.StatusCode/100 != 2 {
		return Credentials{}, problem.Read(res.StatusCode, res.Header, answer)
	}
	c, err := accepted(answer, code, req, key)
	if err != nil {
		return Credentials{}, &problem.Error{
			Code: problem.Unexpected, Err: err,
			Detail: fmt.Sprintf("The coordinator at %s sent credentials that do not fit together.", address),
			Remedy: "Compare the versions of both programs; the log of the coordinator says more.",
		}
	}
	return c, nil
}

// pinned runs at the end of the handshake, before the first byte of a request.
func pinned(cs tls.ConnectionState, code JoinCode) error {
	i := slices.IndexFunc(cs.PeerCertificates, func(c *x509.Certificate) bool { return CAHash(c) == code.CA })
	if i < 0 {
		return fmt.Errorf("%w: its authority has another key", errOther)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cs.PeerCertificates[i])
	id, err := verifyChain(cs.PeerCertificates, pool, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return fmt.Errorf("%w: %w", errOther, err)
	}
	if id.Cluster != code.Cluster || id.Role != fleet.Coordinator {
		return fmt.Errorf("%w: it is %s", errOther, id)
	}
	return nil
}

// accepted turns the coordinator's answer into credentials that are consistent,
// of the pinned authority, and of the node that was asked for.
func accepted(answer []byte, code JoinCode, req JoinRequest, key []byte) (Credentials, error) {
	var res JoinResponse
	if err := json.Unmarshal(answer, &res); err != nil {
		return Credentials{}, fmt.Errorf("decode answer: %w", err)
	}
	c := Credentials{
		CA: []byte(res.CA), Cert: []byte(res.Certificate), Key: key,
		Gossip: res.GossipKey, Ring: res.GossipKeys, Session: res.SessionKey, Peers: res.Peers,
	}
	if res.CAKey != "" {
		c.CAKey = []byte(res.CAKey)
	}
	id, err := c.parse()
	if err != nil {
		return Credentials{}, err
	}
	if CAHash(id.ca) != code.CA {
		return Credentials{}, errOther
	}
	if want := (ID{code.Cluster, code.Role, req.Name}); id.id != want {
		return Credentials{}, fmt.Errorf("the certificate is of %s, want %s", id.id, want)
	}
	return c, nil
}

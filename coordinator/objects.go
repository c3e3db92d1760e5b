package coordinator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/coordinator/fsm"
	"primespark/coordinator/objects"
	"primespark/shared/fleet"
	"primespark/shared/identity"
)

// objectDir holds the objects that tasks refer to.
func objectDir(cfg config.Config) string { return filepath.Join(cfg.StateDir, "objects") }

// keepObjects makes this coordinator's shelf of objects. The transport is to the
// shelves of the others.
func keepObjects(cfg config.Config, id *identity.Identity, node *consensus.Node, out Outside, log *slog.Logger, metrics prometheus.Registerer) (*objects.Shelf, *http.Transport, error) {
	var packages partsOfModels
	store, err := objects.OpenStore(objectDir(cfg), objects.Bounds{Bytes: int64(cfg.Objects.Bytes), Keep: cfg.Objects.Keep.D()}, func(sha string) bool {
		s, _ := node.State()
		return s.Tasks.Refers(sha) || packages.have(s.Models, sha)
	})
	if err != nil {
		return nil, nil, err
	}
	state := func() fsm.State { s, _ := node.State(); return s }
	transport := toCoordinators(out.Dial, id, state)
	client := &http.Client{Transport: transport}
	others := func() (up []objects.Peer, known int) {
		for _, n := range state().Coordinators() {
			if n.Name != cfg.Name && n.Addresses.API != "" {
				up = append(up, objects.Remote{Coordinator: n.Name, Client: client})
			}
		}
		return up, len(up)
	}
	return objects.NewShelf(store, cfg.Name, cfg.Objects.Copies, others, log, metrics), transport, nil
}

// partsOfModels are the objects that the fleet's models consist of. They seldom
// change, and are asked about for each object on the disk.
type partsOfModels struct {
	mu     sync.Mutex
	models map[string]fsm.Model // that the set was made of
	set    map[string]bool
}

func (p *partsOfModels) have(models map[string]fsm.Model, sha string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// The state's maps are copied before a write, so one that is the same holds the same.
	if p.set == nil || reflect.ValueOf(models).Pointer() != reflect.ValueOf(p.models).Pointer() {
		p.models, p.set = models, map[string]bool{}
		for _, m := range models {
			p.set[m.Bill.SHA256] = true
			for _, o := range m.Objects {
				p.set[o.SHA256] = true
			}
		}
	}
	return p.set[sha]
}

// Times by which another coordinator shows that it is there.
const (
	peerConnect = 1 * time.Second // TCP and TLS each
	peerAnswer  = 15 * time.Second
)

// toCoordinators makes a transport to the API of the other coordinators, in whose
// URLs a coordinator's name stands for the host.
func toCoordinators(dial func(ctx context.Context, network, address string) (net.Conn, error), id *identity.Identity, state func() fsm.State) *http.Transport {
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			name, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			at := state().Nodes[name].Addresses.API
			if at == "" {
				return nil, fmt.Errorf("the address of coordinator %s is not known", name)
			}
			ctx, cancel := context.WithTimeout(ctx, 2*peerConnect)
			defer cancel()
			c, err := dial(ctx, network, at)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(c, id.ClientTLSFor(identity.Node(name, fleet.Coordinator)))
			if err := secure.HandshakeContext(ctx); err != nil {
				return nil, errors.Join(fmt.Errorf("handshake with coordinator %s: %w", name, err), c.Close())
			}
			return secure, nil
		},
		MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: peerAnswer,
		DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
	}
}

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"primespark/coordinator/backup"
	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/coordinator/enroll"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/netaddr"
	"primespark/shared/problem"
	"primespark/shared/statedir"
	"primespark/shared/version"
)

// joinTime bounds a join that nobody answers.
const joinTime = 2 * time.Minute

// identityDir holds what init or joining gave; raftDir the log and the snapshots.
func identityDir(cfg config.Config) string { return filepath.Join(cfg.StateDir, "identity") }
func raftDir(cfg config.Config) string     { return filepath.Join(cfg.StateDir, "raft") }

// give lets the daemon's user read what root wrote into the state directory.
func give(cfg config.Config, err *error) { *err = errors.Join(*err, statedir.Give(cfg.StateDir)) }

// IsCorrupt reports whether err is of a store or of a backup that is damaged.
func IsCorrupt(err error) bool {
	return errors.Is(err, consensus.ErrCorrupt) || errors.Is(err, backup.ErrDamaged)
}

// A Founded cluster, as init shows it once.
type Founded struct {
	Cluster  string `json:"cluster"`
	Token    string `json:"token"`               // of access admin
	JoinCode string `json:"join_code,omitempty"` // for one agent; empty if the API's port is not known yet
	CAFile   string `json:"ca_file"`
}

// Init founds a cluster whose first coordinator this is. It touches only the
// state directory; the daemon must not be running.
func Init(_ context.Context, cfg config.Config, cluster string) (_ Founded, err error) {
	defer give(cfg, &err)
	if err := whole(cfg, "found a cluster"); err != nil {
		return Founded{}, err
	}
	addresses, err := planned(cfg)
	if err != nil {
		return Founded{}, err
	}
	if _, err := identity.Load(identityDir(cfg)); errors.Is(err, fs.ErrNotExist) {
		if err := unused(cfg); err != nil {
			return Founded{}, err
		}
	}
	f := enroll.Founding{
		Dir: identityDir(cfg), Cluster: cluster, Name: cfg.Name, Addresses: addresses, Version: version.Number,
	}
	if addresses.API != "" {
		f.Codes = []enroll.CodeSpec{{Role: fleet.Agent}}
	}
	made, err := enroll.Init(f)
	if err != nil {
		return Founded{}, err
	}
	founded := Founded{Cluster: cluster, Token: made.Token, CAFile: filepath.Join(f.Dir, "ca.crt")}
	if len(made.Codes) > 0 {
		founded.JoinCode = made.Codes[0]
	}
	return founded, nil
}

// whole refuses what a witness cannot do.
func whole(cfg config.Config, what string) error {
	if cfg.Role != config.Witness {
		return nil
	}
	return problem.New(problem.Conflict, "Set role: coordinator in its configuration first.",
		"A witness cannot %s: it never leads, and has no API.", what)
}

// Join makes this host a coordinator of the code's cluster and keeps its
// credentials in the state directory.
func Join(ctx context.Context, cfg config.Config, code identity.JoinCode) (_ identity.ID, err error) {
	defer give(cfg, &err)
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	dir := identityDir(cfg)
	if _, err := identity.Load(dir); !errors.Is(err, fs.ErrNotExist) {
		return identity.ID{}, &problem.Error{
			Code: problem.Conflict, Err: err,
			Detail: "This host is a coordinator already: there is an identity in " + dir + ".",
			Remedy: "Use another state_dir, or remove this one if its cluster is gone for good.",
		}
	}
	if err := unused(cfg); err != nil {
		return identity.ID{}, err
	}
	// Before the code is used: one that is used up is of no use to a second try.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return identity.ID{}, fmt.Errorf("make the identity's directory: %w", err)
	}
	addresses, err := planned(cfg)
	if err != nil {
		return identity.ID{}, err
	}
	got, err := identity.Join(ctx, &net.Dialer{}, code, identity.JoinRequest{
		Name: cfg.Name, Role: fleet.Coordinator, Version: version.Number, Addresses: addresses,
	})
	if err != nil {
		return identity.ID{}, err
	}
	if err := got.Save(dir); err != nil {
		return identity.ID{}, fmt.Errorf("keep the coordinator's identity: %w", err)
	}
	return identity.ID{Cluster: code.Cluster, Role: fleet.Coordinator, Name: cfg.Name}, nil
}

// Reset puts the raft log and the snapshots aside and returns where they are. It
// refuses while the coordinator runs.
func Reset(cfg config.Config) (aside string, err error) {
	defer give(cfg, &err)
	if _, err := identity.Load(identityDir(cfg)); err != nil {
		return "", &problem.Error{
			Code: problem.NotFound, Err: err,
			Detail: "There is no coordinator in " + cfg.StateDir + ".", Remedy: "Give the configuration of the one to reset with --config.",
		}
	}
	if _, err := os.Stat(raftDir(cfg)); errors.Is(err, fs.ErrNotExist) {
		return "", problem.New(problem.NotFound, "Just start the coordinator.", "There is no log in %s; nothing is to be put aside.", cfg.StateDir)
	}
	return consensus.Reset(raftDir(cfg))
}

// unused refuses a state directory that holds a log while it holds no identity:
// that log is of another cluster, and a coordinator that began with it would
// vote by it, or take its entries for the new cluster's.
func unused(cfg config.Config) error {
	if _, err := os.Stat(raftDir(cfg)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return problem.New(problem.Conflict, "Move it out of the way, or use another state_dir.",
		"There is the log of another cluster in %s.", raftDir(cfg))
}

// planned returns the addresses that others will reach this coordinator by, as
// far as they are known before the listeners are open.
func planned(cfg config.Config) (identity.Addresses, error) {
	own, err := netaddr.Own()
	if err != nil {
		return identity.Addresses{}, err
	}
	var a identity.Addresses
	for _, one := range []struct {
		into              *string
		advertise, listen string
	}{
		{&a.API, cfg.HTTP.Advertise, cfg.HTTP.Listen},
		{&a.Raft, cfg.Raft.Advertise, cfg.Raft.Listen},
		{&a.Gossip, cfg.Gossip.Advertise, cfg.Gossip.Listen},
	} {
		if one.into == &a.API && cfg.Role == config.Witness {
			continue
		}
		if *one.into, err = reach(one.advertise, one.listen, own); err != nil {
			return identity.Addresses{}, err
		}
	}
	return a, nil
}

// reach is where others will reach a listener; empty if its port is not fixed.
func reach(advertise, listen string, own []netip.Addr) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("listen address %q: %w", listen, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("listen address %q: %w", listen, err)
	}
	if advertise == "" && number == 0 {
		return "", nil
	}
	ip := netip.IPv6Unspecified()
	switch {
	case host == "localhost":
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case host != "":
		if ip, err = netip.ParseAddr(host); err != nil {
			return "", fmt.Errorf("listen address %q: %w", listen, err)
		}
	}
	return netaddr.Advertise(advertise, net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(number))), own)
}

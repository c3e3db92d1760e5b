package identity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The files of an identity, in one directory of mode 0700, each of mode 0600.
const (
	caFile      = "ca.crt"      // the cluster's authority, PEM
	certFile    = "node.crt"    // this node's certificate, then the authority's, PEM
	keyFile     = "node.key"    // its private key, PEM
	renewedFile = "renewed.pem" // after a renewal: key, certificate, the authority's; in place of the two above
	nextFile    = "next.key"    // the key that a renewal is asked for with, PEM
	gossipFile  = "gossip.key"  // 32 bytes
	peersFile   = "peers.json"  // Peers, as of the join
	caKeyFile   = "ca.key"      // the authority's private key, PEM; coordinators only
	sessionFile = "session.key" // 32 bytes that sign operators' sessions; coordinators only
)

// maxFile bounds what is read of each of them.
const maxFile = 64 << 10

// WriteFile writes a file of an identity so that after a power cut it is there
// whole, or not at all and the old one still is. Its mode is 0600.
func WriteFile(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, "."+name+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// ReadFile reads a file of an identity. A secret that others may read is
// refused: it is no secret any more.
func ReadFile(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.Mode().Perm()&0o077 != 0 && name != caFile:
		return nil, fmt.Errorf("%s: others may read it (mode %v); run chmod 600 on it, and if anybody else uses this machine, revoke the node and join again", path, info.Mode().Perm())
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s: %d bytes are too many for such a file; restore it from a backup or join again", path, info.Size())
	}
	return os.ReadFile(path)
}

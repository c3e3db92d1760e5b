package helper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// wantedFile holds the last wish: a line with the CRC32C of the rest, which is JSON.
// The private keys are not in it: they are in the daemon's directory, and in the
// kernel's interfaces, and nowhere else.
const wantedFile = "wanted.json"

// maxWanted is more than any wish takes, in bytes.
const maxWanted = 16 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kept is what the file holds: the wish of the member that has the tunnels, and of the
// others of this host who they are and where they listen.
type kept struct {
	meshnet.Wanted

	Guests []guest `json:"guests,omitempty"`
}

type guest struct {
	Self  string        `json:"self"`
	Ports meshnet.Ports `json:"ports"`
}

func saveWanted(dir string, w meshnet.Wanted, guests []guest) error {
	w.Ring = mesh.Ring{}
	b, err := json.Marshal(kept{w, guests})
	if err != nil {
		return fmt.Errorf("encode what is wanted of the mesh: %w", err)
	}
	return identity.WriteFile(dir, wantedFile, append(fmt.Appendf(nil, "%08x\n", crc32.Checksum(b, castagnoli)), b...))
}

// forgetWanted removes the last wish.
func forgetWanted(dir string) error {
	if err := os.Remove(filepath.Join(dir, wantedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the last map: %w", err)
	}
	return nil
}

// loadWanted returns the last wish; an empty one if there was none, or with an error.
// Its keys are those of the interfaces that are there. Without any it is empty as
// well: nothing can be made of it before the daemon calls, as after a reboot.
func loadWanted(dir string, there []mesh.PrivateKey) (w kept, err error) {
	path := filepath.Join(dir, wantedFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return w, fmt.Errorf("open the last map: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxWanted))
	if err != nil {
		return w, fmt.Errorf("read %s: %w", path, err)
	}
	if w, err = parseWanted(b); err != nil {
		return kept{}, fmt.Errorf("%s: %w; it is replaced as soon as a daemon tells the map", path, err)
	}
	if len(w.Ring.Keys) > 0 { // of a release that kept them here, too
		if err := saveWanted(dir, w.Wanted, w.Guests); err != nil {
			return w, fmt.Errorf("take the keys out of %s: %w", path, err)
		}
	}
	me, _ := w.Map.Find(w.Self)
	w.Ring = ringOf(me, append(there, privates(w.Ring)...))
	if w.Ring.Check() != nil {
		return kept{}, nil
	}
	return w, nil
}

func privates(r mesh.Ring) (all []mesh.PrivateKey) {
	for _, k := range r.Keys {
		all = append(all, k.Private)
	}
	return all
}

// ringOf is a node's ring made of those keys whose public halves are its own in the
// map.
func ringOf(me mesh.Node, all []mesh.PrivateKey) (r mesh.Ring) {
	for _, k := range me.Keys {
		for _, private := range all {
			if private.Public() == k.Public {
				r.Keys = append(r.Keys, mesh.OwnKey{Generation: k.Generation, Private: private, Interface: k.Interface})
				break
			}
		}
	}
	return r
}

func parseWanted(b []byte) (w kept, err error) {
	sum, text, _ := bytes.Cut(b, []byte("\n"))
	if string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) {
		return w, errors.New("its checksum is wrong")
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return w, err
	}
	if len(w.Guests) > meshnet.MaxMembers {
		return w, fmt.Errorf("%d guests are more than %d", len(w.Guests), meshnet.MaxMembers)
	}
	for _, g := range w.Guests {
		if !fleet.ValidName(g.Self) {
			return w, fmt.Errorf("a guest is %.40q", g.Self)
		}
	}
	if len(w.Ring.Keys) == 0 {
		return w, w.CheckMap()
	}
	return w, w.Check()
}

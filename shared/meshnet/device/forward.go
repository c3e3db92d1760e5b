//go:build linux

package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// settings is where the kernel's are.
const settings = "/proc/sys/net/"

// A setting of the host that was changed, and what it was.
type setting struct {
	Path string `json:"path"` // below /proc/sys/net/
	Was  string `json:"was"`
}

// forwarding has the kernel pass packets from link to link, or no longer. IPv4 has a
// switch for each interface. IPv6 has had one for all of the host until Linux 6.17;
// there, interfaces that learn their routes from a router go on doing so only with
// accept_ra 2. What was changed of the host is kept in a file, and put back.
func (m *Manager) forwarding(on bool) error {
	file := filepath.Join(m.cfg.Dir, "forwarding.json")
	changed, err := readSettings(file)
	if err != nil {
		return err
	}
	if !on {
		return undo(file, changed)
	}
	links, err := m.nl.LinkList()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	var wanted []setting
	single := false
	for _, l := range links {
		name := l.Attrs().Name
		if l.Attrs().Alias != alias || !strings.HasPrefix(name, m.cfg.Stem) {
			continue
		}
		if err := write("ipv4/conf/"+name+"/forwarding", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		switch err := write("ipv6/conf/"+name+"/force_forwarding", "1"); {
		case err == nil:
			single = true
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if !single {
		wanted = append(wanted, setting{"ipv6/conf/all/forwarding", "1"})
		for _, l := range links {
			path := "ipv6/conf/" + l.Attrs().Name + "/accept_ra"
			if now, err := read(path); err == nil && now == "1" && l.Attrs().Alias != alias {
				wanted = append([]setting{{path, "2"}}, wanted...)
			}
		}
	}
	for _, w := range wanted {
		now, err := read(w.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return err
		}
		if now == w.Was {
			continue
		}
		changed = append(changed, setting{w.Path, now})
		if err := writeSettings(file, changed); err != nil { // first, so that a crash forgets nothing
			return err
		}
		if err := write(w.Path, w.Was); err != nil {
			return err
		}
	}
	return nil
}

// undo puts back what was changed, the last first.
func undo(file string, changed []setting) error {
	if len(changed) == 0 {
		return nil
	}
	for i := len(changed) - 1; i >= 0; i-- {
		if err := write(changed[i].Path, changed[i].Was); err != nil && !errors.Is(err, fs.ErrNotExist) { // the interface is gone
			return err
		}
	}
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("forget what was changed of the host: %w", err)
	}
	return nil
}

func read(path string) (string, error) {
	b, err := os.ReadFile(settings + path)
	if err != nil {
		return "", fmt.Errorf("read a setting of the kernel: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func write(path, value string) error {
	if err := os.WriteFile(settings+path, []byte(value), 0); err != nil {
		return fmt.Errorf("set the kernel's %s to %s: %w", path, value, err)
	}
	return nil
}

func readSettings(file string) (all []setting, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was changed of the host: %w", err)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("read what was changed of the host, from %s: %w; if net.ipv6.conf.all.forwarding is as you want it, remove that file", file, err)
	}
	return all, nil
}

func writeSettings(file string, all []setting) error {
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return fmt.Errorf("keep what is changed of the host: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("keep what is changed of the host: %w", err)
	}
	return nil
}

package power

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"primespark/shared/identity"
)

// A Processor caps the frequency of the host's processor. Its files are the
// kernel's (Documentation/admin-guide/pm/cpufreq.rst); the package gives the agent's
// group the right to write scaling_max_freq.
type Processor struct {
	Root string // of the file system; empty: "/"
	MHz  int    // the cap
	Dir  string // where the frequencies from before are kept
}

// freqFile holds the frequencies from before the cap, in kHz, by policy.
const freqFile = "power-cpu.json"

// Cap caps all policies, or gives back what they had before. A host whose kernel
// does not scale frequencies is left alone.
func (p Processor) Cap(on bool) error {
	policies, err := filepath.Glob(filepath.Join("/", p.Root, "sys/devices/system/cpu/cpufreq/policy*"))
	if err != nil || len(policies) == 0 {
		return err
	}
	if !on {
		return p.restore(policies)
	}
	before, err := p.before()
	if err != nil {
		return err
	}
	for _, policy := range policies {
		name := filepath.Base(policy)
		now, err := kilohertz(filepath.Join(policy, "scaling_max_freq"))
		if err != nil {
			return err
		}
		if _, known := before[name]; !known {
			before[name] = now
		}
	}
	data, err := json.Marshal(before)
	if err == nil {
		err = identity.WriteFile(p.Dir, freqFile, data) // before anything is changed
	}
	if err != nil {
		return err
	}
	for _, policy := range policies {
		least, err := kilohertz(filepath.Join(policy, "cpuinfo_min_freq"))
		if err != nil {
			return err
		}
		want := min(max(p.MHz*1000, least), before[filepath.Base(policy)])
		if err := set(filepath.Join(policy, "scaling_max_freq"), want); err != nil {
			return err
		}
	}
	return nil
}

func (p Processor) restore(policies []string) error {
	before, err := p.before()
	if err != nil || len(before) == 0 {
		return err
	}
	for _, policy := range policies {
		if was, known := before[filepath.Base(policy)]; known {
			err = errors.Join(err, set(filepath.Join(policy, "scaling_max_freq"), was))
		}
	}
	if err != nil {
		return err
	}
	return os.Remove(filepath.Join(p.Dir, freqFile))
}

// before are the frequencies that were capped, kHz.
func (p Processor) before() (map[string]int, error) {
	out := map[string]int{}
	data, err := readBounded(filepath.Join(p.Dir, freqFile))
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(p.Dir, freqFile), err)
	}
	return out, nil
}

func kilohertz(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func set(path string, kilohertz int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(kilohertz))
	return errors.Join(err, f.Close())
}

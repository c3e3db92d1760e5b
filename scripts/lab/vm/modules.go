package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A module is one of the kernel's, unpacked.
type module struct {
	name string
	data []byte
}

// modules returns the ones that are named and what they depend on, each after those that
// it needs. One that this kernel has no file for is built into it.
func (d *Debian) modules(names ...string) (all []module, err error) {
	files, err := moduleFiles(d.path("modules"))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		path, ok := files[name]
		if !ok || seen[name] {
			return nil
		}
		seen[name] = true
		data, err := unpackModule(path)
		if err != nil {
			return err
		}
		needs, err := dependencies(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, need := range needs {
			if err := add(need); err != nil {
				return err
			}
		}
		all = append(all, module{name, data})
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// moduleFiles are the files below dir by their modules' names.
func moduleFiles(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if base, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok && err == nil && !e.IsDir() {
			files[plain(base)] = path
		}
		return err
	})
	return files, err
}

// plain is a module's name as the kernel has it: files spell it with hyphens, too.
func plain(name string) string { return strings.ReplaceAll(name, "-", "_") }

// unpackModule reads a module's file. Since Debian 13 they are packed.
func unpackModule(path string) ([]byte, error) {
	if strings.HasSuffix(path, ".xz") {
		out, err := exec.Command("xz", "-dc", path).Output()
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", path, err)
		}
		return out, nil
	}
	return os.ReadFile(path)
}

// dependencies are the names that a module says it needs.
func dependencies(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no module of a kernel: it has no .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(plain(string(list)), ","), nil
		}
	}
	return nil, nil
}

// Origins tells what programs are made of, for their Debian packages: a copyright
// file with the licence of everything in them, and a bill of materials. Both come
// from what the Go linker wrote into the programs, so they cannot forget anything.
//
//	go run ./scripts/origins -copyright copyright -sbom sbom.cdx.json -version 1.0.0 bin/prime-spark-agent
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	copyrightFile := flag.String("copyright", "", "`file` to write the copyright file to, in Debian's machine-readable format")
	sbomFile := flag.String("sbom", "", "`file` to write the bill of materials to, in CycloneDX's JSON")
	version := flag.String("version", "", "release of the programs")
	own := flag.String("license", "LICENSE", "`file` with the licence of the programs themselves")
	flag.Parse()
	if err := write(*copyrightFile, *sbomFile, *version, *own, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "origins:", err)
		os.Exit(1)
	}
}

func write(copyrightFile, sbomFile, version, own string, programs []string) error {
	if copyrightFile == "" || sbomFile == "" || version == "" || len(programs) == 0 {
		return errors.New("-copyright, -sbom, -version and at least one program are needed")
	}
	modules, err := modulesOf(programs)
	if err != nil {
		return err
	}
	text, err := copyrightOf(modules, own)
	if err != nil {
		return err
	}
	if err := os.WriteFile(copyrightFile, []byte(text), 0o644); err != nil {
		return err
	}
	bill, err := json.MarshalIndent(billOf(filepath.Base(programs[0]), version, modules), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(sbomFile, append(bill, '\n'), 0o644)
}

// A module is a part of a program that somebody else wrote.
type module struct {
	Path, Version string
	Sum           string // "h1:...", as in go.sum
	License       license
	Notice        string // what its authors want to be passed on
}

// modulesOf returns the modules that are in any of the programs, by path, and Go
// itself, whose library is in all of them.
func modulesOf(programs []string) ([]module, error) {
	found := map[string]module{}
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", program, err)
		}
		found["std"] = module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			found[m.Path] = module{Path: m.Path, Version: m.Version, Sum: m.Sum}
		}
	}
	all := make([]module, 0, len(found))
	for _, path := range slices.Sorted(maps.Keys(found)) {
		m := found[path]
		dir, err := source(m)
		if err != nil {
			return nil, err
		}
		if m.License, m.Notice, err = licenseIn(dir); err != nil {
			return nil, fmt.Errorf("%s %s: %w", m.Path, m.Version, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// source is the directory that holds a module's files.
func source(m module) (string, error) {
	if m.Path == "std" {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		return strings.TrimSpace(string(out)), err
	}
	out, err := exec.Command("go", "mod", "download", "-json", m.Path+"@"+m.Version).Output()
	if err != nil {
		return "", fmt.Errorf("fetch %s %s: %w", m.Path, m.Version, err)
	}
	var got struct{ Dir string }
	if err := json.Unmarshal(out, &got); err != nil {
		return "", err
	}
	return got.Dir, nil
}

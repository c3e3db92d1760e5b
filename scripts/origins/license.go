package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A license is under which terms something may be used.
type license struct {
	ID      string // by SPDX: "MIT"
	Text    string
	Holders []string // the lines that begin with "Copyright"
}

// marks are phrases that only one licence has, in the order in which they are
// looked for.
var marks = []struct{ id, phrase string }{
	{"EPL-2.0 or BSD-3-Clause", "Eclipse Public License v2.0 and Eclipse Distribution License v1.0"},
	{"MPL-2.0", "Mozilla Public License, version 2.0"},
	{"MPL-2.0", "Mozilla Public License Version 2.0"},
	{"Apache-2.0", "Apache License Version 2.0"},
	{"Apache-2.0", "Apache License, Version 2.0"},
	{"BSD-3-Clause", "Neither the name"},
	{"BSD-3-Clause", "names of its contributors may"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"},
	{"ISC", "Permission to use, copy, modify, and distribute this software for any purpose with or without fee"},
	{"MIT", "Permission is hereby granted, free of charge"},
}

var (
	spaces    = regexp.MustCompile(`\s+`)
	copyright = regexp.MustCompile(`(?im)^\W*(copyright (?:\(c\)|©|[0-9]).*)$`)
)

// recognize tells which licence a text is.
func recognize(text string) (license, error) {
	flat := spaces.ReplaceAllString(text, " ")
	for _, m := range marks {
		if strings.Contains(strings.ToLower(flat), strings.ToLower(m.phrase)) {
			l := license{ID: m.id, Text: text}
			for _, line := range copyright.FindAllStringSubmatch(text, -1) {
				l.Holders = append(l.Holders, strings.TrimSpace(line[1]))
			}
			l.Holders = slices.Compact(l.Holders)
			return l, nil
		}
	}
	return license{}, errors.New("its licence is none that is known here; read it, and add it to scripts/origins/license.go")
}

// licenseIn reads the licence of a module's directory, and the notice that has
// to be passed on.
func licenseIn(dir string) (license, string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return license{}, "", err
	}
	var found license
	var notice string
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		is := func(prefix string) bool { return !e.IsDir() && strings.HasPrefix(name, prefix) }
		switch {
		case (is("LICENSE") || is("LICENCE") || is("COPYING")) && found.ID == "":
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return license{}, "", err
			}
			if found, err = recognize(string(text)); err != nil {
				return license{}, "", fmt.Errorf("%s: %w", e.Name(), err)
			}
		case is("NOTICE"):
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return license{}, "", err
			}
			notice = string(text)
		}
	}
	if found.ID == "" {
		return license{}, "", errors.New("it has no licence")
	}
	return found, notice, nil
}

// known are the texts that each Debian system has, which a copyright file is to
// refer to instead of repeating them.
var known = map[string]string{"Apache-2.0": "Apache-2.0", "MPL-2.0": "MPL-2.0"}

// copyrightOf writes the copyright file (Debian policy 12.5, format 1.0).
func copyrightOf(modules []module, own string) (string, error) {
	text, err := os.ReadFile(own)
	if err != nil {
		return "", err
	}
	mine, err := recognize(string(text))
	if err != nil {
		return "", fmt.Errorf("%s: %w", own, err)
	}
	var b strings.Builder
	b.WriteString("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n")
	b.WriteString("Upstream-Name: Prime Spark\n")
	b.WriteString("Comment: The programs are linked statically. The paths below name the Go modules\n in them, with their releases.\n")
	fmt.Fprintf(&b, "\nFiles: *\nCopyright: The Prime Spark authors\nLicense: %s\n%s\n", mine.ID, body(mine))
	b.WriteString("\nFiles: models/blazeface/*\nCopyright: The MediaPipe authors\nLicense: Apache-2.0\nComment: The face detector that is embedded in the agent.\n")
	for _, m := range modules {
		holders := m.License.Holders
		if len(holders) == 0 {
			holders = []string{"The authors of " + m.Path}
		}
		fmt.Fprintf(&b, "\nFiles: %s@%s/*\nCopyright: %s\n", m.Path, m.Version, strings.Join(holders, "\n "))
		if m.License.ID == mine.ID {
			fmt.Fprintf(&b, "License: %s\n", m.License.ID)
		} else {
			// Texts differ in their names, so each stands for itself.
			fmt.Fprintf(&b, "License: %s\n%s\n", m.License.ID, body(m.License))
		}
		if m.Notice != "" {
			fmt.Fprintf(&b, "Comment:\n%s\n", indent(m.Notice))
		}
	}
	return b.String(), nil
}

// body is a licence's text as a field of the file.
func body(l license) string {
	if file, ok := known[l.ID]; ok {
		return fmt.Sprintf(" The full text is in /usr/share/common-licenses/%s.", file)
	}
	return indent(l.Text)
}

// indent makes a text the continuation of a field.
func indent(s string) string {
	all := strings.Split(strings.TrimSpace(strings.ReplaceAll(s, "\r", "")), "\n")
	for i, line := range all {
		line = strings.TrimRight(strings.ReplaceAll(line, "\t", "    "), " ")
		if line == "" {
			line = "."
		}
		all[i] = " " + line
	}
	return strings.Join(all, "\n")
}

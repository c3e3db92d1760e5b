package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecognize(t *testing.T) {
	for _, test := range []struct{ text, id, holder string }{
		{"MIT License\n\nCopyright (c) 2015 Ada\n\nPermission is hereby granted, free\nof charge, to", "MIT", "Copyright (c) 2015 Ada"},
		{"// Copyright 2009 The Go Authors.\n...\n   * Neither the name of", "BSD-3-Clause", "Copyright 2009 The Go Authors."},
		{"Redistributions in binary form must\nreproduce the above", "BSD-2-Clause", ""},
		{"Apache License\n   Version 2.0, January 2004", "Apache-2.0", ""},
		{"Mozilla Public License, version 2.0", "MPL-2.0", ""},
		{"made available under the terms of the Eclipse Public License v2.0\nand Eclipse Distribution License v1.0 which", "EPL-2.0 or BSD-3-Clause", ""},
		{"All rights reserved. Do not touch.", "", ""},
	} {
		got, err := recognize(test.text)
		if (err != nil) != (test.id == "") || got.ID != test.id || strings.Join(got.Holders, "") != test.holder {
			t.Errorf("%.40q: %+v, %v; want %q", test.text, got, err, test.id)
		}
	}
}

// TestThisProgram: what a test binary is made of is told, and nothing that has no
// licence gets through.
func TestThisProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text, sbom := filepath.Join(dir, "copyright"), filepath.Join(dir, "sbom")
	if err := write(text, sbom, "1.0.0", "../../LICENSE", []string{self}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Files: std@1.26", "Copyright 2009 The Go Authors.", "/usr/share/common-licenses/Apache-2.0"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the copyright file lacks %q:\n%s", want, got)
		}
	}
	raw, err := os.ReadFile(sbom)
	if err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(raw, &b); err != nil || len(b.Components) == 0 || b.Components[0].Licenses[0].Expression != "BSD-3-Clause" {
		t.Errorf("the bill of materials: %+v, %v", b, err)
	}
	if _, _, err := licenseIn(t.TempDir()); err == nil {
		t.Error("a module without a licence got through")
	}
	if err := write(text, sbom, "", "../../LICENSE", []string{self}); err == nil {
		t.Error("a bill without a version was written")
	}
}

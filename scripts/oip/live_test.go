// Package oip_test holds an agent and the coordinators' gateway against the documents of
// the Open Inference Protocol, sentence by sentence, and has an independent client, in
// Node, talk to both as they are released, over REST and gRPC.
package oip_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"primespark/shared/rig"
	"primespark/shared/rigtest"
	"primespark/shared/testphoto"
)

const blazeface = "blazeface" // which every agent has

func TestIndependentClient(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs real processes")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed; apt install nodejs npm", program)
			}
			t.Skipf("%s is not installed; apt install nodejs npm", program)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	dir := install(ctx, t)
	r := rigtest.Start(ctx, t, rig.Options{Coordinators: 1, Agents: 1})
	if _, err := r.Healthy(ctx, blazeface); err != nil {
		t.Fatal(err)
	}
	token, ca := r.Access()
	write(t, filepath.Join(dir, "token"), []byte(token))
	write(t, filepath.Join(dir, "ca.pem"), ca)
	write(t, filepath.Join(dir, "photo.jpg"), testphoto.Astronaut())
	agent, gateway := r.Agents[0].Loopback, r.Coordinators[0]
	for _, test := range []struct {
		name string
		args []string
	}{
		{"agent", []string{"--rest", "http://" + agent, "--grpc", agent, "--control"}},
		{"gateway", []string{"--rest", "http://" + gateway.Loopback, "--grpc", gateway.Loopback, "--control"}},
		{"gateway over TLS", []string{"--rest", "https://" + gateway.API, "--grpc", gateway.API, "--ca", "ca.pem", "--token-file", "token"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.CommandContext(ctx, "node", append([]string{"client.mjs", "--proto", "inference.proto", "--image", "photo.jpg"}, test.args...)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+filepath.Join(dir, "ca.pem")) // for fetch
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// install makes a folder with the client and what it needs, by its lock file.
func install(ctx context.Context, t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, from := range map[string]string{
		"package.json": "package.json", "package-lock.json": "package-lock.json", "client.mjs": "client.mjs",
		"inference.proto": "../../shared/oip/rpc/inference.proto",
	} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), b)
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

package vm

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed init.sh
var initScript []byte

// words are those of the kernel's command line that depend on what is booted. Of a
// whole Debian the console shows how it shuts down.
func (c Config) words() string {
	if c.Image == "" {
		return " quiet"
	}
	return " loglevel=7 net.ifnames=0 lab.debian=yes"
}

// initrd makes what the guest boots from.
func (v *VM) initrd(c Config) error {
	modules, err := c.modules(drivers...)
	if err != nil {
		return err
	}
	busybox, err := os.ReadFile(c.path("busybox"))
	if err != nil {
		return err
	}
	var a archive
	for _, name := range []string{"bin", "modules"} {
		a.dir(name)
	}
	a.program("bin/busybox", busybox)
	a.program("init", initScript)
	for i, m := range modules {
		a.program(fmt.Sprintf("modules/%03d-%s.ko", i, m.name), m.data)
	}
	for name, file := range c.Files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		a.program("bin/"+name, data)
	}
	return os.WriteFile(v.path("initrd"), a.bytes(), 0o600)
}

// disk makes the guest's disk: an empty file system, or a copy of the image.
func (v *VM) disk(ctx context.Context, c Config) error {
	if c.Image != "" {
		return run(ctx, "cp", "--sparse=always", c.Image, v.Disk)
	}
	const size = 64 << 20
	if err := os.WriteFile(v.Disk, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(v.Disk, size); err != nil {
		return err
	}
	return run(ctx, "mke2fs", "-q", "-t", "ext4", v.Disk)
}

// missing tells what of the programs is not there; each with the package that has it.
func missing(programs ...[2]string) (what []string) {
	for _, p := range programs {
		if _, err := exec.LookPath(find(p[0])); err != nil {
			what = append(what, fmt.Sprintf("%s (apt-get install %s)", p[0], p[1]))
		}
	}
	return what
}

// find is where a program is that may be where PATH does not look.
func find(program string) string {
	if _, err := exec.LookPath(program); err != nil && !strings.Contains(program, "/") {
		return filepath.Join("/usr/sbin", program)
	}
	return program
}

func run(ctx context.Context, program string, args ...string) error {
	if out, err := exec.CommandContext(ctx, find(program), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, tail(out))
	}
	return nil
}

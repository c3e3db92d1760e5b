// Package guest runs whole Debian machines for tests, as root on this one: their
// own kernel (user-mode Linux, with WireGuard), systemd, dpkg, and a network that
// can be cut. Power can be cut, too.
//
// Kernel and disk image are made once and kept in a cache: DirEnv, or
// prime-spark-lab in the user's cache directory.
package guest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// DirEnv names the directory of the cache.
const DirEnv = "PRIME_SPARK_LAB_CACHE"

//go:embed image.sh
var imageScript []byte

// Missing lists what is needed to run machines and not there; empty if all is.
func Missing() (what []string) {
	if os.Geteuid() != 0 {
		what = append(what, "root")
	}
	for _, p := range [][2]string{{"mmdebstrap", "mmdebstrap"}, {"mke2fs", "e2fsprogs"}, {"ip", "iproute2"}, {"xz", "xz-utils"}} {
		if _, err := exec.LookPath(p[0]); err != nil {
			what = append(what, fmt.Sprintf("%s (apt-get install %s debian-archive-keyring)", p[0], p[1]))
		}
	}
	if _, err := kernel(context.Background()); err != nil {
		what = append(what, err.Error())
	}
	return what
}

// CacheDir makes the cache if it is not there.
func CacheDir() (string, error) {
	dir := os.Getenv(DirEnv)
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(user, "prime-spark-lab")
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// Where a kernel that somebody built is, relative to the checkout.
const readyDir = "../shared/lab"

// Debian's own user-mode Linux, of the package user-mode-linux. It has netem and i2c-stub
// and no WireGuard, and it boots in 12 s instead of 3.
const (
	packaged        = "/usr/bin/linux.uml"
	packagedModules = "/usr/lib/uml/modules"
	packagedDir     = "kernel-packaged" // in the cache: links to the two
)

// MissingWireGuard lists what is needed to run machines whose kernels have WireGuard.
func MissingWireGuard() []string {
	what := Missing()
	if dir, err := kernel(context.Background()); err == nil && filepath.Base(dir) == packagedDir {
		what = append(what, "a kernel with WireGuard (make lab-kernel builds it, in about ten minutes)")
	}
	return what
}

// fleet is how many machines a test has that is run where it was not asked for, in CI.
const fleet = 3

// Unfit says why the lab's machines do not run on this one, though all is there that they
// need; empty if they do.
func Unfit(ctx context.Context) string { return cmp.Or(cramped(), refused(ctx)) }

// cramped says that there is too little memory for machines; containers often have little.
func cramped() string {
	var room syscall.Statfs_t
	if err := syscall.Statfs(memory, &room); err != nil {
		return fmt.Sprintf("%s: %v", memory, err)
	}
	if have := int64(room.Bavail) * room.Bsize >> 20; have < fleet*Memory {
		return fmt.Sprintf("%s, which is the memory of machines, has %d MiB left; %d machines take %d (mount -o remount,size=2G %s)", memory, have, fleet, fleet*Memory, memory)
	}
	return ""
}

// refused says why the lab's kernel does not run. Some hosts forbid what it traces its
// processes with.
func refused(ctx context.Context) string {
	dir, err := kernel(ctx)
	if err != nil {
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // it takes 0.1 s, or Debian's own 2 s
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "linux"), "mem=64M", "seccomp=on", "con=null", "con0=null,fd:2", "panic=1")
	cmd.Env = append(os.Environ(), "TMPDIR="+memory)
	out, err := cmd.CombinedOutput()
	// Without a disk that is as far as it gets.
	if bytes.Contains(out, []byte("Unable to mount root fs")) {
		return ""
	}
	return fmt.Sprintf("user-mode Linux does not run on this machine: %v: %s", err, tail(bytes.TrimSpace(out)))
}

// ErrImage is that no disk image could be made: mostly for want of Debian's archive.
var ErrImage = errors.New("make the disk image")

// kernel returns the directory that holds the kernel, "linux", and its "modules": the one
// that make lab-kernel built, or the unpacked ready one beside the checkout, or Debian's.
func kernel(ctx context.Context) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "kernel")
	if _, err := os.Stat(filepath.Join(dir, "linux")); err == nil {
		return dir, nil
	}
	top, err := checkout()
	if err != nil {
		return "", err
	}
	ready := filepath.Join(top, readyDir)
	kernels, err := filepath.Glob(filepath.Join(ready, "linux-uml-*.xz"))
	if err != nil || len(kernels) == 0 {
		return debians(cache)
	}
	modules, err := filepath.Glob(filepath.Join(ready, "modules-uml-*.tar.xz"))
	if err != nil || len(modules) == 0 {
		return "", errors.New("the modules of the lab's kernel (make lab-kernel builds both)")
	}
	work, err := os.MkdirTemp(cache, "kernel-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	script := `set -euo pipefail; xz -dc "$1" >"$3/linux"; chmod 0755 "$3" "$3/linux"; tar -C "$3" -xJf "$2"`
	if out, err := exec.CommandContext(ctx, "bash", "-c", script, "unpack", kernels[0], modules[0], work).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack the lab's kernel: %w: %s", err, out)
	}
	if err := os.Rename(work, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return dir, nil
}

// debians has Debian's kernel lie as ours does.
func debians(cache string) (string, error) {
	if _, err := os.Stat(packaged); err != nil {
		return "", errors.New("the lab's kernel (make lab-kernel builds it, in about ten minutes; or apt-get install user-mode-linux, which has no WireGuard)")
	}
	dir := filepath.Join(cache, packagedDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, to := range map[string]string{"linux": packaged, "modules": packagedModules} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
	}
	return dir, nil
}

// checkout is the directory that holds go.mod.
func checkout() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}

// Image returns the disk image of a release of Debian with more packages, made anew when
// the script that makes it has changed. It takes root. modules is a folder of those of the
// kernel that will boot it; empty: that brings its own.
func Image(ctx context.Context, suite, modules string, packages ...string) (string, error) {
	return image(ctx, suite, modules, "", packages...)
}

// image is Image; with an architecture it comes with Debian's own kernel.
func image(ctx context.Context, suite, modules, arch string, packages ...string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	more := strings.Join(packages, ",")
	other := "" // modules than those of our own kernel
	if filepath.Base(filepath.Dir(modules)) == packagedDir {
		other = packagedDir
	}
	sum := sha256.Sum256(slices.Concat(imageScript, []byte(more), []byte(other)))
	name := suite
	if arch != "" {
		name += "-" + arch
	}
	file := filepath.Join(cache, name+"-"+hex.EncodeToString(sum[:6])+".ext4")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "bash", "-s", "--", suite, file, modules, more, arch)
	cmd.Stdin = bytes.NewReader(imageScript)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w of %s: %w: %s", ErrImage, name, err, tail(out))
	}
	return file, nil
}

// tail is the end of what a program printed.
func tail(b []byte) []byte {
	const most = 2000
	return b[max(0, len(b)-most):]
}

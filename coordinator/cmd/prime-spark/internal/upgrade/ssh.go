package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"primespark/shared/problem"
)

// script runs on the node, as root. Its last line is the version before and after. Nothing
// of apt's may read the rest of it; what else installs there just then (unattended-upgrades)
// is waited for.
const script = `set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
version() { dpkg-query -W -f='${Version}' %[1]s; }
before=$(version)
apt-get -q update </dev/null
apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install --only-upgrade %[1]s%[2]s </dev/null
echo "upgraded: $before $(version)"
`

var (
	versionForm = regexp.MustCompile(`^[0-9v][A-Za-z0-9.+~:-]{0,63}$`)
	lastLine    = regexp.MustCompile(`(?m)^upgraded: (\S+) (\S+)\s*$`)
)

// CheckVersion refuses what is no version of a Debian package.
func CheckVersion(v string) error {
	if !versionForm.MatchString(v) {
		return fmt.Errorf("%.64q is no version; give one as apt shows it, as in 1.4.0", v)
	}
	return nil
}

// outputDelay is how long what ssh prints may take to end after ssh itself: one that was
// told to keep its connection for later (ControlPersist) leaves a process with it.
const outputDelay = 2 * time.Second

// SSH installs by a command that reaches a host, as in ["ssh", "-l", "pi"]: the host and
// what to run there are added to it. Whoever it logs in as may run sudo without a
// password.
func SSH(command []string) Installer {
	return func(ctx context.Context, n Node, version string) (bool, error) {
		if version != "" {
			if err := CheckVersion(version); err != nil {
				return false, err
			}
			version = "=" + strings.TrimPrefix(version, "v")
		}
		argv := append(command[1:len(command):len(command)], n.Host, "sudo", "-n", "sh", "-s")
		cmd := exec.CommandContext(ctx, command[0], argv...)
		cmd.Stdin = strings.NewReader(fmt.Sprintf(script, n.Package(), version))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.WaitDelay = outputDelay
		err := cmd.Run()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil // it ended well
		}
		if m := lastLine.FindStringSubmatch(out.String()); err == nil && m != nil {
			return m[1] != m[2], nil
		}
		return false, &problem.Error{
			Code: problem.Unreachable, Err: err,
			Detail: fmt.Sprintf("apt on its host %s did not do it: %s", n.Host, tail(out.String())),
			Remedy: fmt.Sprintf("Try it by hand: %s %s sudo apt-get install --only-upgrade %s", strings.Join(command, " "), n.Host, n.Package()),
		}
	}
}

// tail is the end of what a program said.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

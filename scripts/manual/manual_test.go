// Package manual_test holds the manual in docs to the programs: a command that stands
// there exists, with its flags, and everything that wants a section has one.
package manual_test

import (
	"bytes"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"primespark/hailo"
	"primespark/shared/health"
)

const docs = "../../docs"

// foreign are the programs of others that the manual has people run; of each, who
// brings it on Debian and Raspberry Pi OS.
var foreign = map[string]string{
	"systemctl": "systemd", "journalctl": "systemd", "timedatectl": "systemd", "ping": "iputils-ping", "nc": "netcat-openbsd", "iostat": "sysstat", "iotop": "iotop", "top": "procps", "ps": "procps",
	"smartctl": "smartmontools", "findmnt": "util-linux", "dmesg": "util-linux", "df": "coreutils", "du": "coreutils", "psql": "postgresql-client", "vcgencmd": "raspi-utils-core",
	"sensors": "lm-sensors", "grep": "grep", "apt": "apt", "curl": "curl", "mosquitto_sub": "mosquitto-clients", "promtool": "prometheus", "reboot": "systemd", "lspci": "pciutils", "age-keygen": "age",
	"systemd-analyze": "systemd", "sudo": "sudo", "install": "coreutils", "modprobe": "kmod", "ss": "iproute2", "rpi-eeprom-config": "rpi-eeprom", "raspi-config": "raspi-config", "mkdir": "coreutils",
	"echo": "coreutils", "tee": "coreutils", "dpkg": "dpkg", "make": "make",
}

// ours are the programs, once they are built, by name.
var ours = map[string]string{}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "manual")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", dir+"/",
		"primespark/coordinator/cmd/prime-spark", "primespark/coordinator/cmd/prime-spark-coordinator", "primespark/agent/cmd/prime-spark-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		log.Printf("build the programs: %v\n%s", err, out)
		return 1
	}
	for _, name := range []string{"prime-spark", "prime-spark-coordinator", "prime-spark-agent"} {
		ours[name] = filepath.Join(dir, name)
	}
	return m.Run()
}

// pages are the pages of the manual, by name.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(docs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		b, err := os.ReadFile(path)
		all[filepath.Base(path)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A command of a page stands in lines of its own, four columns in or more, and \ goes
// on with the next. Files of configuration and of registers stand there, too.
var code = regexp.MustCompile(`(?m)^ {4,}(\S.*)$`)

func commands(page string) (all []string) {
	page = strings.ReplaceAll(page, "\\\n", " ")
	for _, m := range code.FindAllStringSubmatch(page, -1) {
		if regexp.MustCompile(`^(sudo )?[a-z][a-z0-9_-]*( |$)`).MatchString(m[1]) && !regexp.MustCompile(`^(chip|word)\b`).MatchString(m[1]) {
			all = append(all, m[1])
		}
	}
	return all
}

// quoted is one word for a shell, whatever stands in it.
var quoted = regexp.MustCompile(`"[^"]*"`)

// TestCommands runs each command of ours with --help, which checks its words and its
// flags and does nothing, and sees that a shell understands the others and that they
// are known.
func TestCommands(t *testing.T) {
	seen := map[string]bool{}
	manual := pages(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	manual["../README.md"] = string(readme)
	for name, page := range manual {
		all := commands(page)
		if out, err := exec.CommandContext(t.Context(), "bash", "-n", "-c", strings.Join(all, "\n")).CombinedOutput(); err != nil {
			t.Errorf("%s: a shell does not understand all commands: %s", name, out)
		}
		for _, line := range all {
			if seen[line] {
				continue
			}
			seen[line] = true
			for part := range strings.SplitSeq(strings.ReplaceAll(line, "&&", "|"), "|") {
				words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(quoted.ReplaceAllString(part, "quoted")), "sudo "))
				program, known := ours[words[0]]
				switch {
				case !known && foreign[words[0]] == "":
					t.Errorf("%s: %q is a program that nobody knows: %s", name, words[0], line)
				case known:
					if fault := dryRun(t, program, words[1:]); fault != "" {
						t.Errorf("%s: %s: %s", name, line, fault)
					}
				}
			}
		}
	}
	if len(seen) < 80 {
		t.Errorf("the manual has %d commands: they are not found any more", len(seen))
	}
}

// dryRun asks a command for its help, up to where its output goes elsewhere.
func dryRun(t *testing.T, program string, words []string) string {
	t.Helper()
	if i := slices.IndexFunc(words, func(w string) bool {
		return strings.HasPrefix(w, ">") || strings.HasPrefix(w, "<") || strings.HasPrefix(w, "#")
	}); i >= 0 {
		words = words[:i]
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, append(slices.Clone(words), "--help")...)
	cmd.Env, cmd.Stderr = []string{"HOME=" + t.TempDir()}, &stderr
	if err := cmd.Run(); err != nil {
		return strings.TrimSpace(stderr.String())
	}
	return ""
}

// TestDryRunsSeeSlips: what is not there is noticed.
func TestDryRunsSeeSlips(t *testing.T) {
	for _, words := range []string{"nodez", "nodes --colour", "tasks requeued ID", "backup home.psb --reciepient x"} {
		if dryRun(t, ours["prime-spark"], strings.Fields(words)) == "" {
			t.Errorf("prime-spark %s passes", words)
		}
	}
	if got := commands("Text.\n\n1. Do:\n\n       sudo a b\n       c --d \\\n         e\n\n    key: value\n"); !slices.Equal(got, []string{"sudo a b", "c --d           e"}) {
		t.Errorf("found %q", got)
	}
}

// TestEachStepIsACommand: every section of the runbooks has steps, and every step has
// something to run.
func TestEachStepIsACommand(t *testing.T) {
	all := pages(t)
	for _, name := range []string{"runbook.md", "readiness.md", "troubleshooting.md"} {
		page, _, _ := strings.Cut(all[name], "\n## Alerts without Prometheus\n")
		for _, section := range strings.Split(page, "\n## ")[1:] {
			title, text, _ := strings.Cut(section, "\n")
			steps := regexp.MustCompile(`(?m)^\d+\. `).Split(text, -1)
			if len(steps) < 2 {
				t.Errorf("%s, %s: there are no steps", name, title)
			}
			for _, step := range steps[1:] {
				if len(commands(step)) == 0 {
					t.Errorf("%s, %s: nothing to run in %q", name, title, step)
				}
			}
		}
	}
}

// TestEveryCodeHasASection: each reason of /readyz, and each finding of the doctor that has
// a code.
func TestEveryCodeHasASection(t *testing.T) {
	all := pages(t)
	for _, code := range health.Codes() {
		if !strings.Contains(all["readiness.md"], "\n## `"+string(code)+"`\n") {
			t.Errorf("readiness.md has no section of %s", code)
		}
	}
	for _, code := range sourced(t, regexp.MustCompile(`health\.Code = "([a-z_]+)"`)) {
		if !slices.Contains(health.Codes(), health.Code(code)) {
			t.Errorf("health.Explain does not know %s", code)
		}
	}
	findings := sourced(t, regexp.MustCompile(`(?:Code =|Severity: doctor\.[A-Z][a-z]+, Code:) "([a-z]+\.[a-z_]+)"`))
	if !slices.Contains(findings, string(hailo.VersionMismatch)) || len(findings) < 25 {
		t.Errorf("found the codes %v only", findings)
	}
	for _, code := range slices.Concat(findings, []string{"mesh.fault", "mesh.clash", "mesh.udp_blocked", "mesh.nat_hard", "mesh.no_module", "mesh.alone"}) {
		if !strings.Contains(all["troubleshooting.md"], "`"+code+"`") {
			t.Errorf("troubleshooting.md does not tell of %s", code)
		}
	}
}

// sourced is what a pattern finds in the programs' own files.
func sourced(t *testing.T, pattern *regexp.Regexp) (all []string) {
	t.Helper()
	for _, side := range []string{"agent", "coordinator", "shared", "hailo"} {
		err := filepath.WalkDir(filepath.Join("../..", side), func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			for _, m := range pattern.FindAllSubmatch(b, -1) {
				all = append(all, string(m[1]))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestLinks: what the pages link to is there.
func TestLinks(t *testing.T) {
	all := pages(t)
	link := regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	for name, page := range all {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if m[1] != "" {
				if _, err := os.Stat(filepath.Join(docs, m[1])); err != nil {
					t.Errorf("%s links to %s: %v", name, m[1], err)
				}
			}
			target := all[filepath.Base(m[1])]
			if m[1] == "" {
				target = page
			}
			if m[2] != "" && !anchored(target, m[2][1:]) {
				t.Errorf("%s links to %s%s, where nothing is called so", name, m[1], m[2])
			}
		}
		if name != "README.md" && !strings.Contains(all["README.md"], "("+name+")") {
			t.Errorf("README.md of the manual does not link to %s", name)
		}
	}
}

// anchored reports whether a page has a heading that a browser finds by that name.
func anchored(page, name string) bool {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		if strings.ReplaceAll(strings.ToLower(regexp.MustCompile("[^A-Za-z0-9_ -]").ReplaceAllString(m[1], "")), " ", "-") == name {
			return true
		}
	}
	return false
}

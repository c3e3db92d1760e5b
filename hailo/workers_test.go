package hailo

import (
	"slices"
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	c := Worker{"c", []string{"/w"}}
	python := Worker{"python", []string{"/usr/bin/python3", "/w.py"}}
	for want, got := range map[string][]string{
		"/w --library /l":                   c.command("/l", false),
		"/w --library /l --shared":          c.command("/l", true),
		"/w":                                c.command("", false),
		"/usr/bin/python3 /w.py --shared":   python.command("/l", true),
		"/usr/bin/python3 /opt/x/worker.py": kind("/opt/x/worker.py").command("/l", false),
	} {
		if strings.Join(got, " ") != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	t.Setenv("HAILORT_DOUBLE_FPS", "309")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	env := python.environment("/dir")
	if !slices.Contains(env, "HAILORT_DOUBLE_FPS=309") || !slices.Contains(env, "HOME=/dir") || slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "AWS_") }) {
		t.Errorf("environment %q", env)
	}
}

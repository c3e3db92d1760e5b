// Package version says which build of Prime Spark this is.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Number is the release, set by the linker (-X primespark/shared/version.Number=1.2.3).
var Number = "dev"

// Info is a build, as /v1/version and the version commands show it.
type Info struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"` // of the source, with "+" where it was changed
	Go      string `json:"go"`
	Target  string `json:"target"` // linux/arm64
}

// Get returns what is known of the running build.
func Get() Info {
	i := Info{Version: Number, Go: runtime.Version(), Target: runtime.GOOS + "/" + runtime.GOARCH}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return i
	}
	changed := ""
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			i.Commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	if i.Commit != "" {
		i.Commit += changed
	}
	return i
}

func (i Info) String() string {
	commit := i.Commit
	if commit == "" {
		commit = "unknown commit"
	}
	return fmt.Sprintf("%s (%s, %s, %s)", i.Version, commit, i.Go, i.Target)
}

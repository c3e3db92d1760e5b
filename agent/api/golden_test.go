package api_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/api"
	"primespark/shared/goldentest"
	"primespark/shared/health"
)

// Every route's answer, and the errors of both forms, byte for byte. In a bubble
// the clock stands still, so that the times in answers do too.
func TestGoldenAnswers(t *testing.T) {
	const jsonBody = `{"id":"42","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[[1,2.5]]}]}`
	steps := []struct {
		say, method, path, body string
		header                  []string
	}{
		{"alive", "GET", "/livez", "", nil},
		{"ready", "GET", "/readyz", "", nil},
		{"version", "GET", "/v1/version", "", nil},
		{"node", "GET", "/v1/node", "", nil},
		{"server metadata", "GET", "/v2", "", nil},
		{"server metadata with a slash", "GET", "/v2/", "", nil},
		{"server live", "GET", "/v2/health/live", "", nil},
		{"server ready", "GET", "/v2/health/ready", "", nil},
		{"model metadata", "GET", "/v2/models/double", "", nil},
		{"model metadata of a version", "GET", "/v2/models/faces/versions/2", "", nil},
		{"metadata of an unknown model", "GET", "/v2/models/nonesuch", "", nil},
		{"metadata of a name that cannot be", "GET", "/v2/models/..%2F..%2Fetc", "", nil},
		{"metadata of an unknown version", "GET", "/v2/models/double/versions/9", "", nil},
		{"model ready", "GET", "/v2/models/double/ready", "", nil},
		{"model ready of a version", "GET", "/v2/models/double/versions/1/ready", "", nil},
		{"model not ready", "GET", "/v2/models/broken/ready", "", nil},
		{"unknown model not ready", "GET", "/v2/models/nonesuch/ready", "", nil},
		{"infer in JSON", "POST", "/v2/models/double/infer", jsonBody, nil},
		{"infer with a version", "POST", "/v2/models/double/versions/1/infer", jsonBody, nil},
		{"infer an image", "POST", "/v2/models/faces/infer", "\xff\xd8\xff...", []string{"Inference-Header-Content-Length", "0"}},
		{"infer with a model that is not loaded", "POST", "/v2/models/broken/infer", jsonBody, nil},
		{"stats of all", "GET", "/v2/models/stats", "", nil},
		{"stats of one", "GET", "/v2/models/double/stats", "", nil},
		{"stats of one version", "GET", "/v2/models/double/versions/1/stats", "", nil},
		{"stats of an unknown model", "GET", "/v2/models/nonesuch/stats", "", nil},
		{"index", "POST", "/v2/repository/index", "", nil},
		{"index of the ready", "POST", "/v2/repository/index", `{"ready":true}`, nil},
		{"load", "POST", "/v2/repository/models/faces/load", "", nil},
		{"load with parameters", "POST", "/v2/repository/models/faces/load", `{"parameters":{"other":1}}`, nil},
		{"load with a configuration", "POST", "/v2/repository/models/faces/load", `{"parameters":{"config":"{}"}}`, nil},
		{"load an unknown package", "POST", "/v2/repository/models/nonesuch/load", "", nil},
		{"load with a fault of ours", "POST", "/v2/repository/models/fault/load", "", nil},
		{"load with a panic of ours", "POST", "/v2/repository/models/panic/load", "", nil},
		{"unload what is not loaded", "POST", "/v2/repository/models/faces/unload", "{}", nil},
		{"no such path", "GET", "/nowhere", "", nil},
		{"no such path of the protocol", "GET", "/v2/nowhere", "", nil},
		{"wrong method", "DELETE", "/v1/node", "", nil},
		{"wrong method of the protocol", "GET", "/v2/models/double/infer", "", nil},
		{"not ready", "GET", "/readyz", "", nil},
		{"server not ready", "GET", "/v2/health/ready", "", nil},
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, api.Config{})
		var out strings.Builder
		for _, s := range steps {
			if s.say == "not ready" {
				r.health.Set(health.NoModels, health.Unready, "No model can be loaded.", "See the log.")
				time.Sleep(time.Second)
			}
			w := r.ask(s.method, s.path, s.body, s.header...)
			fmt.Fprintf(&out, "# %s\n%s %s\n%d\n", s.say, s.method, s.path, w.Code)
			var lines []string
			for name := range w.Header() {
				lines = append(lines, name+": "+w.Header().Get(name))
			}
			slices.Sort(lines)
			fmt.Fprintf(&out, "%s\n\n%s\n", strings.Join(lines, "\n"), w.Body)
		}
		golden(t, "answers.txt", out.String())
	})
}

// build is what differs from one build to another.
var build = regexp.MustCompile(`"version":"[^"]*","(commit":"[^"]*","|)go":"[^"]*","target":"[^"]*"`)

func golden(t *testing.T, name, got string) {
	t.Helper()
	goldentest.Compare(t, name, build.ReplaceAllString(got, `"version":"dev","go":"GO","target":"TARGET"`))
}

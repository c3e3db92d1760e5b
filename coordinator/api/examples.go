package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// examplesText are calls with their answers. A test makes each of them, and holds what
// comes to what stands here.
//
//go:embed examples.json
var examplesText []byte

// An Example is a call with its answer, for /openapi.json and /docs.
type Example struct {
	Call   string            `json:"call"`             // the route: GET /v1/nodes/{name}
	Target string            `json:"target"`           // with everything filled in
	Role   Role              `json:"role"`             // of the caller, at least
	Header map[string]string `json:"header,omitempty"` // of the request
	Body   json.RawMessage   `json:"body,omitempty"`   // of the request; a string stands for bytes that are no JSON
	Status int               `json:"status,omitempty"`
	Answer json.RawMessage   `json:"answer,omitempty"`
}

// readExamples returns the examples by route.
func readExamples() (map[string]Example, error) {
	var all []Example
	if err := json.Unmarshal(examplesText, &all); err != nil {
		return nil, fmt.Errorf("read the examples of the API: %w", err)
	}
	by := map[string]Example{}
	for _, e := range all {
		by[e.Call] = e
	}
	return by, nil
}

// Shell is the call as people type it.
func (e Example) Shell() string {
	var b strings.Builder
	b.WriteString("curl --cacert ca.crt")
	if e.Role != Nobody {
		b.WriteString(` -H "Authorization: Bearer $(cat token)"`)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Header)) {
		fmt.Fprintf(&b, " \\\n  -H %s", quoted(name+": "+e.Header[name]))
	}
	method, _, _ := strings.Cut(e.Call, " ")
	switch body, bytes := e.content(); {
	case bytes:
		fmt.Fprintf(&b, " \\\n  -X %s --data-binary @photo.jpg", method)
	case body != "":
		fmt.Fprintf(&b, " \\\n  --json %s", quoted(body))
	case method != "GET":
		fmt.Fprintf(&b, " \\\n  -X %s", method)
	}
	fmt.Fprintf(&b, " \\\n  %s", quoted("https://COORDINATOR:7480"+e.Target))
	return b.String()
}

// content is the body of the request; bytes tells whether it is something else than
// JSON.
func (e Example) content() (text string, bytes bool) {
	if json.Unmarshal(e.Body, &text) == nil {
		return text, true
	}
	return string(e.Body), false
}

// Pretty is the answer for people.
func (e Example) Pretty() string {
	var v any
	if json.Unmarshal(e.Answer, &v) != nil {
		return ""
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ""
	}
	return string(b)
}

// quoted is one word for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// status is that of a good answer.
func (e Example) status() string {
	if e.Status == 0 {
		return "200"
	}
	return strconv.Itoa(e.Status)
}

// value is what the example gives for a parameter of the path or the query; nil if
// nothing.
func (e Example) value(name string) any {
	_, path, _ := strings.Cut(e.Call, " ")
	target, query, _ := strings.Cut(e.Target, "?")
	if q, err := url.ParseQuery(query); err == nil && q.Has(name) {
		return q.Get(name)
	}
	given := strings.Split(target, "/")
	for i, part := range strings.Split(path, "/") {
		before, after, found := strings.Cut(part, "{"+name+"}")
		if found && i < len(given) {
			return strings.TrimSuffix(strings.TrimPrefix(given[i], before), after)
		}
	}
	return nil
}

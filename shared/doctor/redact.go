package doctor

import (
	"encoding/json"
	"regexp"
)

// secrets are what a report never shows: keys in PEM, passwords in URLs, join
// codes and tokens, and whatever follows a word that says so.
var secrets = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)`), redacted},
	{regexp.MustCompile(`://[^/@\s]+@`), "://" + redacted + "@"},
	{regexp.MustCompile(`(?i)\b(password|passwd|token|secret|bearer|authorization)(["']?\s*[:= ]\s*["']?)[^\s"',}]+`), "$1$2" + redacted},
	{regexp.MustCompile(`\b[A-Za-z0-9_-]{40,}\b`), redacted},
}

const redacted = "[redacted]"

// secretName is what a field of a fact is called that nobody else should see.
var secretName = regexp.MustCompile(`(?i)passw|token|secret|private|credential|authorization`)

// Redact takes out of a text what may be a secret: rather too much than too little.
func Redact(s string) string {
	for _, r := range secrets {
		s = r.find.ReplaceAllString(s, r.put)
	}
	return s
}

// Tell adds the facts behind a section, as they look in JSON, without what may be a
// secret in them.
func (r *Report) Tell(section string, facts any) {
	var plain any
	data, err := json.Marshal(facts)
	if err == nil {
		err = json.Unmarshal(data, &plain)
	}
	if err != nil {
		plain = "cannot be shown: " + err.Error()
	}
	r.Facts[section] = clean(plain)
}

// clean goes through what JSON can hold.
func clean(v any) any {
	switch v := v.(type) {
	case string:
		return Redact(v)
	case []any:
		for i := range v {
			v[i] = clean(v[i])
		}
	case map[string]any:
		for name, field := range v {
			if _, text := field.(string); text && secretName.MatchString(name) {
				v[name] = redacted
			} else {
				v[name] = clean(field)
			}
		}
	}
	return v
}

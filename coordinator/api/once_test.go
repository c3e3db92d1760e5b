package api

import (
	"net/http"
	"strings"
	"testing"

	"primespark/shared/wire"
)

// TestChangesAreDoneOnce sends each call twice that changes what is agreed on. The
// second time it is answered as the first time, and nothing happens.
func TestChangesAreDoneOnce(t *testing.T) {
	for _, test := range []struct{ who, path, body, undo string }{
		{"operator", "/v1/nodes/pi-2:approve", "", ""},
		{"operator", "/v1/nodes/pi-1:drain", "", "/v1/nodes/pi-1:undrain"},
		{"operator", "/v1/nodes/pi-1:undrain", "", "/v1/nodes/pi-1:drain"},
		{"operator", "/v1/nodes/pi-1:revoke", "", ""},
		{"operator", "/v1/join-codes", `{"role":"agent"}`, ""},
		{"admin", "/v1/tokens", `{"name":"bob","role":"viewer"}`, ""},
	} {
		t.Run(test.path, func(t *testing.T) {
			l := newLab(t)
			send := func(path, key, body string) (int, string) {
				r := l.as(test.who, "POST", path, body)
				r.Header.Set(wire.HeaderKey, key)
				w := l.do(r)
				return w.Code, w.Body.String()
			}
			if test.path == "/v1/nodes/pi-1:undrain" {
				send(test.undo, "before", "")
			}
			code, first := send(test.path, "k", test.body)
			if code != http.StatusOK {
				t.Fatalf("%d %s", code, first)
			}
			if test.undo != "" {
				if code, body := send(test.undo, "u", ""); code != http.StatusOK {
					t.Fatalf("%d %s", code, body)
				}
			}
			before, _ := l.group.State()
			code, again := send(test.path, "k", test.body)
			after, _ := l.group.State()
			if code != http.StatusOK || test.undo == "" && again != first {
				t.Errorf("again: %d %s, want %s", code, again, first)
			}
			if after.Seq != before.Seq || len(after.Tokens) != len(before.Tokens) || len(after.Codes) != len(before.Codes) || after.Nodes["pi-1"] != before.Nodes["pi-1"] {
				t.Error("it was done again")
			}
			other := test.path
			if other == "/v1/tokens" {
				other = "/v1/join-codes"
			} else {
				other = "/v1/nodes/pi-2:approve"
			}
			if other != test.path {
				body := map[bool]string{true: `{"role":"agent"}`}[strings.HasSuffix(other, "codes")]
				if code, text := send(other, "k", body); code != http.StatusConflict {
					t.Errorf("another call with the same key: %d %s", code, text)
				}
			}
			if code, text := send(test.path, strings.Repeat("k", 129), test.body); code != http.StatusBadRequest {
				t.Errorf("a key that is too long: %d %s", code, text)
			}
		})
	}
}

// TestSecretsOfCalls: a token that is asked for again is the same one, with no
// secret kept; without a key, or by somebody else, it is another.
func TestSecretsOfCalls(t *testing.T) {
	l := newLab(t)
	token := func(key string) wire.TokenBody {
		r := l.as("admin", "POST", "/v1/tokens", `{"name":"bob","role":"viewer"}`)
		if key != "" {
			r.Header.Set(wire.HeaderKey, key)
		}
		return decoded[wire.TokenBody](t, l.do(r))
	}
	one, again, two, none := token("1"), token("1"), token("2"), token("")
	if one != again || one.Token == two.Token || one.Token == none.Token || one.ID == two.ID {
		t.Errorf("tokens %+v, again %+v, of another key %+v, of none %+v", one, again, two, none)
	}
	r := l.as("", "GET", "/v1/status", "")
	r.Header.Set("Authorization", "Bearer "+again.Token)
	if w := l.do(r); w.Code != http.StatusOK {
		t.Errorf("with the token: %d %s", w.Code, w.Body)
	}
}

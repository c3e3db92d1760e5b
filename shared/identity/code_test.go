package identity_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

func sample() identity.JoinCode {
	c := identity.JoinCode{
		ID: "k3v9x0", Role: fleet.Agent, Cluster: "home",
		Addresses: []string{"192.0.2.7:7480", "[2001:db8::1]:7480", "c1.example:7480"},
	}
	for i := range c.CA {
		c.CA[i] = byte(3 * i)
	}
	for i := range c.Secret {
		c.Secret[i] = byte(200 - i)
	}
	return c
}

func ExampleJoinCode() {
	text := sample().String()
	code, err := identity.ParseJoinCode(strings.ToLower(text)) // as somebody types it
	fmt.Println(text[:11], code.Cluster, code.Role, err)
	// Output: PS1.C40061- home agent <nil>
}

func TestJoinCodeAsTyped(t *testing.T) {
	want := sample()
	text := want.String()
	for name, typed := range map[string]string{
		"as printed":      text,
		"lower case":      strings.ToLower(text),
		"no hyphens":      strings.ReplaceAll(text, "-", ""),
		"over two lines":  "  " + text[:40] + "\n  " + text[40:] + "\r\n",
		"O for 0":         text[:4] + strings.ReplaceAll(text[4:], "0", "O"),
		"I for 1":         text[:4] + strings.ReplaceAll(text[4:], "1", "i"),
		"l for 1":         text[:4] + strings.ReplaceAll(text[4:], "1", "l"),
		"no-break spaces": strings.ReplaceAll(text, "-", "\u00a0"),
	} {
		got, err := identity.ParseJoinCode(typed)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestJoinCodeErrors(t *testing.T) {
	text := sample().String()
	bad := func(change func(*identity.JoinCode)) string {
		c := sample()
		change(&c)
		return c.String()
	}
	for name, test := range map[string]struct{ text, want string }{
		"empty":         {"", "does not begin with PS1."},
		"another thing": {"pst_abc_def", "does not begin with PS1."},
		"too long":      {"PS1." + strings.Repeat("A", 5000), "longer than"},
		"cut off":       {text[:30], "too short"},
		"half":          {text[:len(text)/2], "checksum"},
		"no character":  {text[:20] + "U" + text[21:], "does not occur in codes"},
		"no address":    {bad(func(c *identity.JoinCode) { c.Addresses = nil }), "0 addresses"},
		"many addresses": {bad(func(c *identity.JoinCode) {
			c.Addresses = strings.Split(strings.Repeat("a:1,", 8)+"a:1", ",")
		}), "9 addresses"},
		"bad port":    {bad(func(c *identity.JoinCode) { c.Addresses = []string{"c1:0"} }), "port"},
		"bad host":    {bad(func(c *identity.JoinCode) { c.Addresses = []string{"c1/x:80"} }), "host"},
		"no port":     {bad(func(c *identity.JoinCode) { c.Addresses = []string{"c1"} }), "host:port"},
		"bad cluster": {bad(func(c *identity.JoinCode) { c.Cluster = "Home!" }), "cluster name"},
		"bad role":    {bad(func(c *identity.JoinCode) { c.Role = "root" }), "role"},
		"bad id":      {bad(func(c *identity.JoinCode) { c.ID = "a.b" }), "id"},
	} {
		_, err := identity.ParseJoinCode(test.text)
		if !errors.Is(err, identity.ErrCode) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.want)
		}
	}
}

// TestEveryTypoIsNoticed replaces each character of a code by each other.
func TestEveryTypoIsNoticed(t *testing.T) {
	text := sample().String()
	for i := 4; i < len(text); i++ {
		if text[i] == '-' {
			continue
		}
		for _, r := range "0123456789ABCDEFGHJKMNPQRSTVWXYZ" {
			if rune(text[i]) == r {
				continue
			}
			if _, err := identity.ParseJoinCode(text[:i] + string(r) + text[i+1:]); err == nil && i < len(text)-1 {
				t.Fatalf("%c for %c at %d was not noticed", r, text[i], i)
			}
		}
	}
}

func FuzzParseJoinCode(f *testing.F) {
	f.Add(sample().String())
	f.Add("PS1.00000")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := identity.ParseJoinCode(text)
		if err != nil {
			return
		}
		again, err := identity.ParseJoinCode(c.String())
		if d := cmp.Diff(c, again); d != "" || err != nil {
			t.Errorf("%v (-first +again):\n%s", err, d)
		}
	})
}

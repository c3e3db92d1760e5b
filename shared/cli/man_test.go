package cli

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestMan(t *testing.T) {
	root := sample(nil)
	root.Long = "First.\n.so /etc/passwd\n\nThen:\n\n  $ tool -x 'a'\n\nLast."
	root.Example = `  tool list "a\b"`
	var b bytes.Buffer
	if err := Man(&b, root, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		`.TH "TOOL" 1 2026-11-23 "Prime Spark" "User Commands"`,
		"tool \\- a tool\n",
		".SS \"list NAME\"\n",
		".SS \"code create\"\n",
		".B \\-\\-limit \\fIint\\fR\nhow many (default 1)\n",
		".B \\-\\-server \\fIstring\\fR\nwhere\n",
		"\n\\&.so /etc/passwd\n.PP\nThen:\n.PP\n.nf\n  $ tool \\-x \\(aqa\\(aq\n.fi\n.PP\nLast.\n",
		".SH EXIT STATUS\n.TP\n.B 0\nDone.\n",
		`tool list "a\eb"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "\n.so") {
		t.Error("a text became a request")
	}
	if _, err := exec.LookPath("man"); err == nil {
		cmd := exec.Command("man", "--warnings=all", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-")
		cmd.Stdin = strings.NewReader(page)
		var warnings bytes.Buffer
		cmd.Stderr = &warnings
		if err := cmd.Run(); err != nil || warnings.Len() > 0 {
			t.Errorf("man: %v: %s", err, &warnings)
		}
	}
}

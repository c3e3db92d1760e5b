package api

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net/http"

	"primespark/coordinator/status"
)

//go:embed docs.html
var docsText string

var docsPage = template.Must(template.New("docs").Parse(docsText))

// docs shows the table to a person.
func (a *API) docs(w http.ResponseWriter, r *call) error {
	var b bytes.Buffer
	type row struct {
		Route
		Who     string
		Example Example
	}
	var rows []row
	for _, r := range routes() {
		who := "anybody"
		if r.Permission != Public {
			who = words(granted[r.Permission])
		}
		rows = append(rows, row{r, who, a.examples[r.Method+" "+r.Path]})
	}
	if err := docsPage.Execute(&b, rows); err != nil {
		return fmt.Errorf("render docs: %w", err)
	}
	return status.Show(w, r.Request, http.StatusOK, func(out io.Writer) error { _, err := out.Write(b.Bytes()); return err })
}

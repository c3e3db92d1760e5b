package status

import "io"

// A Reader is who looks at a page, which shows him what he may do.
type Reader struct {
	Name    string // "ada"; empty for who needs no log-in
	Role    string
	Session bool // he logged in, and can log out
	Operate bool // he may change something, and have models answer
}

// A Deed is what somebody is about to do.
type Deed struct {
	Reader Reader
	Title  string // "Drain pi-1?"
	Now    string // how it stands
	Means  string // what comes of it
	Button string
	Path   string // to post to
	Back   string // for those who think better of it
}

// RenderDeed writes the page that asks whether d is meant.
func RenderDeed(w io.Writer, d Deed) error { return render(w, "deed.html", d) }

// Package conf reads the project's YAML files: strictly, and telling all faults
// at once, each with its place and a remedy.
//
// A file is decoded over the defaults that the caller put into the struct. Keys
// are those of the struct's yaml tags; a key that no field has is refused with
// the nearest one that exists. Anchors and aliases are refused: no file of ours
// needs them, and they are how small files grow large.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is how large a file may be, in bytes.
const MaxSize = 1 << 20

// maxDepth bounds how deep a file may nest; ours go four levels down.
const maxDepth = 32

// A Fault is one thing that is wrong with a file.
type Fault struct {
	Line, Column int    // from 1; 0 where the fault has no place in the file
	Key          string // "battery.every"
	Text         string // what is wrong, and a good example
}

func (f Fault) Error() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", f.Line, f.Column)
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Text)
	return b.String()
}

// Faults is all that is wrong with a file, in the order of the file.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// A File is a decoded file, which remembers where each key stood so that a
// later check of the values can point at it.
type File struct {
	places map[string]*yaml.Node
	faults Faults
	moves  []Move
}

// Decode reads YAML over the value that into points to. The File it returns is
// never nil; File.Err tells what was wrong, after checks of the caller's own.
func Decode(data []byte, into any) *File {
	f := &File{places: map[string]*yaml.Node{}}
	if len(data) > MaxSize {
		f.faults = Faults{{Text: fmt.Sprintf("the file has %d bytes, more than the %d that are allowed", len(data), MaxSize)}}
		return f
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF): // an empty file is all defaults
		return f
	case err != nil:
		f.faults = Faults{{Text: plain(err)}}
		return f
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		f.faults = append(f.faults, Fault{Text: "there is a second YAML document after ---; one is read"})
	}
	if root := doc.Content[0]; !isNull(root) {
		f.walk(root, reflect.ValueOf(into).Elem(), "", 0)
	}
	return f
}

// Bad adds a fault of the value at key, "battery.every"; text tells what is
// wrong with it and gives a good example.
func (f *File) Bad(key, text string, args ...any) {
	fault := Fault{Key: key, Text: fmt.Sprintf(text, args...)}
	for at := key; at != ""; at = parent(at) {
		if n, ok := f.places[at]; ok {
			fault.Line, fault.Column = n.Line, n.Column
			break
		}
	}
	f.faults = append(f.faults, fault)
}

// Set reports whether the file itself gives key a value.
func (f *File) Set(key string) bool { _, ok := f.places[key]; return ok }

// Err returns the Faults, or nil if there are none.
func (f *File) Err() error {
	if len(f.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(f.faults, func(a, b Fault) int { return a.Line - b.Line })
	return f.faults
}

func (f *File) at(n *yaml.Node, key, text string, args ...any) {
	f.faults = append(f.faults, Fault{n.Line, n.Column, key, fmt.Sprintf(text, args...)})
}

// walk decodes n into v, structs and lists of structs key by key, the rest by
// the library.
func (f *File) walk(n *yaml.Node, v reflect.Value, key string, depth int) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		f.at(n, key, "anchors and aliases are not taken; write the value out")
		return
	case depth > maxDepth:
		f.at(n, key, "nested too deep")
		return
	case isNull(n): // "key:" with nothing after it keeps the default
		return
	}
	_, own := v.Addr().Interface().(yaml.Unmarshaler)
	switch {
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && !own:
		p := reflect.New(v.Type().Elem())
		f.walk(n, p.Elem(), key, depth+1)
		v.Set(p)
	case v.Kind() == reflect.Struct && !own:
		f.object(n, v, key, depth)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		f.list(n, v, key, depth)
	default:
		if hasAlias(n, 0) {
			f.at(n, key, "anchors and aliases are not taken; write the value out")
			return
		}
		if err := n.Decode(v.Addr().Interface()); err != nil {
			f.at(n, key, "%s", f.mistake(err, n, v))
		}
	}
}

func (f *File) object(n *yaml.Node, v reflect.Value, key string, depth int) {
	if n.Kind != yaml.MappingNode {
		f.at(n, key, "%s is not a group of keys", shown(n))
		return
	}
	fields := map[string]reflect.Value{}
	for _, field := range reflect.VisibleFields(v.Type()) { // those of embedded structs, too
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = v.FieldByIndex(field.Index)
		}
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		name := k.Value
		field, ok := fields[name]
		if !ok {
			if now, was := earlier(v.Type(), name); was {
				f.moved(k, key, now)
				if now == "" {
					continue
				}
				name, field, ok = now, fields[now], true
			}
		}
		full := join(key, name)
		switch {
		case !ok:
			f.at(k, full, "%s", unknown(k.Value, fields))
		case seen[name]:
			f.at(k, full, "stands here a second time; keep one")
		default:
			f.places[full] = value
			f.walk(value, field, full, depth+1)
		}
		seen[name] = true
	}
}

func (f *File) list(n *yaml.Node, v reflect.Value, key string, depth int) {
	if n.Kind != yaml.SequenceNode {
		f.at(n, key, "%s is not a list", shown(n))
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		full := fmt.Sprintf("%s[%d]", key, i)
		f.places[full] = c
		f.walk(c, s.Index(i), full, depth+1)
	}
	v.Set(s)
}

// mistake words a decoding error for a person.
func (f *File) mistake(err error, n *yaml.Node, v reflect.Value) string {
	if _, ok := errors.AsType[*yaml.TypeError](err); !ok {
		return plain(err)
	}
	want := map[reflect.Kind]string{
		reflect.Bool: "true or false", reflect.String: "a text", reflect.Slice: "a list", reflect.Map: "a group of keys",
		reflect.Int: "a whole number", reflect.Int64: "a whole number", reflect.Float64: "a number",
	}[v.Kind()]
	if want == "" {
		want = "a " + v.Type().String()
	}
	return fmt.Sprintf("%s is not %s", shown(n), want)
}

func plain(err error) string { return strings.TrimPrefix(err.Error(), "yaml: ") }

func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group of keys"
	case yaml.SequenceNode:
		return "a list"
	}
	s := n.Value
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return fmt.Sprintf("%q", s)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func hasAlias(n *yaml.Node, depth int) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || depth > maxDepth {
		return true
	}
	return slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return hasAlias(c, depth+1) })
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func parent(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

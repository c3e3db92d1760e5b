package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Move is a key that a file gives by a name of earlier releases. It is taken all
// the same. A field has its earlier names, in the same group, in the tag was; a key
// that is no more is a blank field with nothing but that tag:
//
//	Every Duration `yaml:"every" was:"interval"`
//	_     struct{} `was:"interface"` // the helper names them
type Move struct {
	Line, Column int    // from 1
	Key          string // "mesh.interface"
	Now          string // "mesh.link"; empty: there is none any more, and the value is not used
}

func (m Move) String() string {
	if m.Now == "" {
		return fmt.Sprintf("line %d: %s is no more", m.Line, m.Key)
	}
	return fmt.Sprintf("line %d: %s is called %s now", m.Line, m.Key, m.Now)
}

// Moves are the keys of the file that have moved, in its order.
func (f *File) Moves() []Move { return f.moves }

// earlier finds the name by which a key of an earlier release goes now; empty if it
// is no more.
func earlier(t reflect.Type, key string) (now string, ok bool) {
	for _, field := range reflect.VisibleFields(t) {
		if was := field.Tag.Get("was"); was != "" && slices.Contains(strings.Split(was, ","), key) {
			now, _, _ = strings.Cut(field.Tag.Get("yaml"), ",")
			return now, true
		}
	}
	return "", false
}

// moved notes a key of an earlier release.
func (f *File) moved(k *yaml.Node, group, now string) {
	m := Move{Line: k.Line, Column: k.Column, Key: join(group, k.Value)}
	if now != "" {
		m.Now = join(group, now)
	}
	f.moves = append(f.moves, m)
}

// errByHand says that a line is written in a way that Migrate leaves alone.
var errByHand = errors.New("it is written in one line with others; change it by hand")

// Migrate returns the text of a file with its keys as they are called now; those that
// are no more become comments. Everything else stays as it is, comments too.
func Migrate(data []byte, moves []Move) ([]byte, error) {
	lines := strings.Split(string(data), "\n")
	for _, m := range moves {
		if m.Line < 1 || m.Line > len(lines) {
			return nil, fmt.Errorf("%v: there is no such line", m)
		}
		line := lines[m.Line-1]
		key := m.Key[strings.LastIndex(m.Key, ".")+1:]
		at := len(line) - len(strings.TrimLeft(line, " "))
		if m.Column != at+1 || !strings.HasPrefix(line[at:], key+":") {
			return nil, fmt.Errorf("%v: %w", m, errByHand)
		}
		if m.Now == "" {
			if next := m.Line; next < len(lines) {
				below := lines[next]
				if indent := len(below) - len(strings.TrimLeft(below, " ")); strings.TrimSpace(below) != "" && indent > at {
					return nil, fmt.Errorf("%v: its value goes over several lines; change it by hand", m)
				}
			}
			lines[m.Line-1] = line[:at] + "# no more: " + line[at:]
			continue
		}
		lines[m.Line-1] = line[:at] + m.Now[strings.LastIndex(m.Now, ".")+1:] + line[at+len(key):]
	}
	return []byte(strings.Join(lines, "\n")), nil
}

// Rewrite puts data in the place of a file, keeping its mode and its owner, and the
// old one beside it, whose path it returns. A power cut leaves one or the other.
func Rewrite(path string, data []byte, now time.Time) (backup string, err error) {
	old, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	backup = fmt.Sprintf("%s.%s.bak", path, now.UTC().Format("20060102T150405Z"))
	fresh := path + ".new"
	if err := place(backup, old, info); err != nil {
		return "", fmt.Errorf("keep the old file: %w", err)
	}
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return backup, err
	}
	if err = place(fresh, data, info); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return backup, fmt.Errorf("write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return backup, err
	}
	return backup, errors.Join(dir.Sync(), dir.Close())
}

// place makes a file like another, which is not there yet, and flushes it.
func place(path string, data []byte, like fs.FileInfo) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if s, ok := like.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := f.Chown(int(s.Uid), int(s.Gid)); err != nil {
			return err
		}
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return errors.Join(f.Chmod(like.Mode().Perm()), f.Sync())
}

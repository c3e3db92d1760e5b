// Package shelf makes model packages of the HEF files that Raspberry Pi OS
// installs (package hailo-models), and of any others in the same folder: the
// file says what its tensors are, and the kinds of networks are few.
package shelf

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"primespark/hailo/hef"
	"primespark/shared/model"
)

// coco and imagenet are the names of the classes in the order in which the zoo's
// networks have them; see NOTICE.
var (
	//go:embed coco80.txt
	coco []byte
	//go:embed imagenet1000.txt
	imagenet []byte
)

// A Shelf is a folder of HEF files. It may be absent, or come later.
type Shelf struct{ Dir string }

// A Package is what a model package is made of: contents by file name, and the
// paths of files that are too large for that.
type Package struct {
	Files map[string][]byte
	Paths map[string]string
}

// A name on the shelf: the network, the chip that it was compiled for, and what
// else the packager had to say.
var fileName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*?)(_h8|_h8l|_h8r)?(_rpi|_pi|_mz)*\.hef$`)

// names that models have elsewhere.
var known = map[string]string{"resnet_v1_50": "resnet50", "resnet_v1_18": "resnet18", "mobilenet_v2_1.0": "mobilenet-v2"}

// skipped are the ends of names of files for chips with another library.
const skipped = "_h10"

// files lists the files of each model by its name, those for the larger chip
// first. A folder that cannot be read has none.
func (s Shelf) files() map[string][]string {
	all := map[string][]string{}
	entries, err := os.ReadDir(s.Dir)
	if s.Dir == "" || err != nil {
		return all
	}
	for _, e := range entries {
		m := fileName.FindStringSubmatch(e.Name())
		if m == nil || strings.HasSuffix(m[1], skipped) || e.IsDir() {
			continue
		}
		if name := cmp.Or(known[m[1]], strings.ToLower(m[1])); model.ValidName(name) {
			all[name] = append(all[name], e.Name()) // sorted, and "_h8." comes before "_h8l"
		}
	}
	return all
}

// Names lists the models that lie on the shelf, sorted.
func (s Shelf) Names() []string { return slices.Sorted(maps.Keys(s.files())) }

// Files are the paths of a model's files, those for the larger chip first.
func (s Shelf) Files(name string) (paths []string) {
	for _, file := range s.files()[name] {
		paths = append(paths, filepath.Join(s.Dir, file))
	}
	return paths
}

// favourites are the detectors that boards' owners know, the best one first.
var favourites = []string{"yolov8s", "yolov6n", "yolov8n", "yolov8m", "yolox_s_leaky"}

// Favourite is the model to load when nobody said which: a detector that is
// well known; empty if there is none.
func (s Shelf) Favourite() string {
	all := s.files()
	for _, name := range favourites {
		if len(all[name]) > 0 {
			return name
		}
	}
	return ""
}

// Open makes the package of a model. It reads all of its files once, to sum them
// up. Without such a model the error is fs.ErrNotExist.
func (s Shelf) Open(name string) (Package, error) {
	files := s.files()[name]
	if len(files) == 0 {
		return Package{}, fs.ErrNotExist
	}
	p := Package{Files: map[string][]byte{}, Paths: map[string]string{}}
	var variants bytes.Buffer
	var described *hef.Group
	var faults []error
	for _, file := range files {
		path := filepath.Join(s.Dir, file)
		h, sum, err := look(path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
			continue
		}
		fmt.Fprintf(&variants, "  - {engine: hailo, arch: %s, file: %s, sha256: %x}\n", arch(h), file, sum)
		p.Paths[file] = path
		if described == nil {
			described = &h.Groups[0]
		}
	}
	if described == nil {
		return Package{}, errors.Join(faults...)
	}
	text, labels, data := manifest(name, *described)
	if data != nil {
		p.Files[labels] = data
	}
	p.Files[model.ManifestFile] = []byte(head(name) + variants.String() + text)
	return p, nil
}

// arch is the name of the file's architecture, if a manifest can bear it.
func arch(h *hef.File) string {
	if a := h.Arch.String(); model.ValidName(a) {
		return a
	}
	return "hailo"
}

// look reads a file.
func look(path string) (h *hef.File, sum []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("not a regular file")
	}
	if h, err = hef.Read(f, info.Size()); err != nil {
		return nil, nil, err
	}
	if len(h.Groups) == 0 {
		return nil, nil, errors.New("there is no network in it")
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return nil, nil, err
	}
	return h, digest.Sum(nil), nil
}

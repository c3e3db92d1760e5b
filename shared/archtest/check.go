package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Check reads the imports of every Go file below root, which is the module's
// own folder, and returns a sentence for each that breaks a rule. The error is
// of reading or parsing.
//
// Tests are held to less: they may import siblings and other sides, so that a
// part can be tried against its real counterpart; but those of shared stay
// within shared.
func Check(root fs.FS, rules Rules) (faults []string, err error) {
	err = fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && skipped(root, file):
			return fs.SkipDir
		case d.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		src, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		if slices.Contains(rules.BadNames, f.Name.Name) {
			faults = append(faults, fmt.Sprintf("%s: package %s says nothing by its name; name it after what it holds", file, f.Name.Name))
		}
		for _, i := range f.Imports {
			to, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if fault := rules.judge(path.Dir(file), to, forTests(file)); fault != "" {
				faults = append(faults, file+": imports "+to+"; "+fault)
			}
		}
		return nil
	})
	return faults, err
}

// skipped reports whether dir holds nothing of the module: test data, hidden
// files, or another module.
func skipped(root fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	return err == nil
}

// forTests reports whether a file is only there for tests: a test, or a package
// such as infertest.
func forTests(file string) bool {
	return strings.HasSuffix(file, "_test.go") || isTestPackage(path.Dir(file))
}

func isTestPackage(pkg string) bool {
	base := path.Base(pkg)
	return strings.HasSuffix(base, "test") && base != "archtest"
}

// judge returns why package from may not import to, or "" if it may.
func (r Rules) judge(from, to string, test bool) string {
	inside, own := strings.CutPrefix(to, r.Module+"/")
	switch {
	case own && isTestPackage(inside) && !test:
		return "a package made for tests is for tests only"
	case own:
		return r.judgeOwn(from, inside, test)
	case !strings.Contains(strings.Split(to, "/")[0], "."):
		return "" // the standard library
	default:
		return r.judgeLibrary(from, to, test)
	}
}

func (r Rules) judgeOwn(from, to string, test bool) string {
	if under(from, r.Free) || under(to, []string{from}) {
		return ""
	}
	fromSide, toSide := side(from), side(to)
	if test && fromSide != "shared" {
		return ""
	}
	if fromSide != toSide {
		if allowed, known := r.Sides[fromSide]; !known || !slices.Contains(allowed, toSide) {
			return fmt.Sprintf("%s/ may import %s", fromSide, words(allowed))
		}
		return ""
	}
	row, allowed := longest(from, r.Seams)
	if row == "" && fromSide == "shared" {
		return ""
	}
	if row != "" && under(to, []string{row}) && row != fromSide {
		return "" // packages of one part may import each other
	}
	for _, a := range allowed {
		// A seam to a whole side is for its root alone, which wires the parts.
		if a == to || (a != fromSide || from == fromSide) && under(to, []string{a}) {
			return ""
		}
	}
	if row == "" && part(from) == part(to) {
		return ""
	}
	return fmt.Sprintf("of its own side %s may import %s; parts meet in Run, and the user of an interface declares it", from, words(allowed))
}

func (r Rules) judgeLibrary(from, to string, test bool) string {
	if under(to, r.TestLibraries) {
		if test {
			return ""
		}
		return "this library is for tests"
	}
	library, allowed := longest(to, r.Libraries)
	switch {
	case library == "":
		return "an outside library without a row in shared/archtest/rules.go; say there who may use it"
	case allowed == nil || test || under(from, allowed):
		return ""
	default:
		return "that library lives in " + words(allowed)
	}
}

// side is the top-level folder of a package.
func side(pkg string) string {
	top, _, _ := strings.Cut(pkg, "/")
	return top
}

// part is the second-level folder of a package: agent/infer.
func part(pkg string) string {
	return strings.Join(strings.SplitN(pkg, "/", 3)[:min(2, strings.Count(pkg, "/")+1)], "/")
}

// under reports whether pkg is one of folders or below one of them.
func under(pkg string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		return pkg == f || strings.HasPrefix(pkg, f+"/")
	})
}

// longest returns the row of table whose key is pkg or the longest folder above
// it. A row of a whole side is for that side's root alone.
func longest(pkg string, table map[string][]string) (key string, row []string) {
	for k, v := range table {
		if under(pkg, []string{k}) && len(k) > len(key) && (strings.Contains(k, "/") || k == pkg) {
			key, row = k, v
		}
	}
	return key, row
}

func words(list []string) string {
	if len(list) == 0 {
		return "none of the others"
	}
	return strings.Join(list, ", ")
}

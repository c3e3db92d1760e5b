package modelpack_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"primespark/shared/modelpack"
	"primespark/shared/task"
)

// large is pets with a network of three parts.
func large() map[string]string {
	files, net := pets(), strings.Repeat("0123456789abcdef", modelpack.PartSize/16)+strings.Repeat("fedcba9876543210", modelpack.PartSize/16)+"tail"
	old := fmt.Sprintf("%X", sha256.Sum256([]byte(files["net.onnx"])))
	files["model.yaml"] = strings.Replace(files["model.yaml"], old, fmt.Sprintf("%x", sha256.Sum256([]byte(net))), 1)
	files["net.onnx"] = net
	return files
}

func opened(t testing.TB, files map[string]string) *modelpack.Package {
	t.Helper()
	p, err := modelpack.Open(t.Context(), folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestCut(t *testing.T) {
	p := opened(t, large())
	taken := map[task.Object][]byte{}
	bill, err := p.Cut(t.Context(), func(_ context.Context, o task.Object, data []byte) error {
		taken[o] = bytes.Clone(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := bill.Encode()
	if err != nil {
		t.Fatal(err)
	}
	read, err := modelpack.ParseBill(text)
	if err != nil {
		t.Fatal(err)
	}
	if read.Size() != p.Size() || len(read.Objects()) != len(taken) || len(taken) != 6 {
		t.Errorf("%d bytes in %d objects of %d taken, want %d bytes in 6", read.Size(), len(read.Objects()), len(taken), p.Size())
	}
	for _, f := range read.Files {
		var whole []byte
		for _, o := range f.Parts {
			if err := o.Check(taken[o]); err != nil {
				t.Error(err)
			}
			whole = append(whole, taken[o]...)
		}
		if string(whole) != large()[f.Name] {
			t.Errorf("the parts of %s are not the file", f.Name)
		}
	}
	refused := errors.New("no room")
	if _, err := p.Cut(t.Context(), func(context.Context, task.Object, []byte) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("Cut = %v, want the reason of who takes the parts", err)
	}
}

func TestParseBillRefuses(t *testing.T) {
	sum := strings.Repeat("a", 64)
	row := func(name string, size int, parts string) string {
		return fmt.Sprintf(`{"name":%q,"size":%d,"sha256":%q,"parts":[%s]}`, name, size, sum, parts)
	}
	part := func(size int) string { return fmt.Sprintf(`{"sha256":%q,"size":%d}`, sum, size) }
	bill := func(rows ...string) string {
		return `{"name":"pets","version":"1","files":[` + strings.Join(rows, ",") + `]}`
	}
	good := row("model.yaml", 5, part(5))
	if _, err := modelpack.ParseBill([]byte(bill(good))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"no JSON":          "x",
		"two bills":        bill(good) + bill(good),
		"no name":          strings.Replace(bill(good), "pets", "../pets", 1),
		"no version":       strings.Replace(bill(good), `"1"`, `"/"`, 1),
		"no files":         bill(),
		"no manifest":      bill(row("net.onnx", 5, part(5))),
		"twice":            bill(good, good),
		"a path":           bill(good, row("../x", 5, part(5))),
		"hidden":           bill(good, row(".x", 5, part(5))),
		"no sum":           bill(strings.Replace(good, sum, "b", 1)),
		"parts that lack":  bill(row("model.yaml", 6, part(5))),
		"a short part":     bill(row("model.yaml", 10, part(5)+","+part(5))),
		"a part too large": bill(row("model.yaml", 2*modelpack.PartSize, part(2*modelpack.PartSize))),
		"a huge file":      bill(row("model.yaml", 1<<40, part(5))),
		"a negative file":  bill(row("model.yaml", -1, "")),
		"too many files":   bill(append([]string{good}, many(200, func(i int) string { return row(fmt.Sprint("f", i), 0, "") })...)...),
		"too long":         bill(good) + strings.Repeat(" ", modelpack.MaxBill),
	} {
		if _, err := modelpack.ParseBill([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func many(n int, row func(int) string) (all []string) {
	for i := range n {
		all = append(all, row(i))
	}
	return all
}

// A bill that is taken says of each byte of the package which object it is in.
func FuzzParseBill(f *testing.F) {
	sum := strings.Repeat("a", 64)
	f.Add([]byte(`{"name":"pets","version":"1","files":[{"name":"model.yaml","size":5,"sha256":"` + sum + `","parts":[{"sha256":"` + sum + `","size":5}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := modelpack.ParseBill(data)
		if err != nil {
			return
		}
		var size int64
		for _, file := range b.Files {
			for _, o := range file.Parts {
				size += o.Size
			}
			if strings.ContainsAny(file.Name, "/\\") {
				t.Errorf("the file %q leads out of the package", file.Name)
			}
		}
		if size != b.Size() || size < 0 || len(b.Objects()) > modelpack.MaxParts {
			t.Errorf("%d bytes in parts of %d", size, b.Size())
		}
	})
}

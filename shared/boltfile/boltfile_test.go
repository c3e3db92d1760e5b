package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"primespark/shared/boltfile"
)

func anything(string, []byte, []byte) (string, error) { return "", nil }

func sealed(_ string, key, value []byte) (string, error) {
	_, err := boltfile.Unseal(key, value)
	return fmt.Sprintf("record %q", key), err
}

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := boltfile.Open(filepath.Join(dir, "x.db"), []string{"things"}, sealed)
	if err != nil {
		panic(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("things")).Put([]byte("a"), boltfile.Seal([]byte("a"), []byte("....one")))
	})
	fmt.Println(err)
	// Output: <nil>
}

// filled makes a file of 300 records and returns its bytes.
func filled(t *testing.T, path string) []byte {
	t.Helper()
	db, err := boltfile.Open(path, []string{"a", "b"}, anything)
	if err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"a", "b"} {
		err = db.Update(func(tx *bbolt.Tx) error {
			for i := range 150 {
				key := fmt.Appendf(nil, "%03d", i)
				if err := tx.Bucket([]byte(bucket)).Put(key, boltfile.Seal(key, []byte("...."+strings.Repeat("x", 90)))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	filled(t, path)
	count := 0
	db, err := boltfile.Open(path, nil, func(bucket string, key, value []byte) (string, error) {
		count++
		return sealed(bucket, key, value)
	})
	if err != nil || count != 300 {
		t.Fatalf("%d records, %v, want 300", count, err)
	}
	defer db.Close()
	if _, err := boltfile.Open(path, nil, anything); !errors.Is(err, boltfile.ErrBusy) {
		t.Errorf("a second time: %v, want it busy", err)
	}
}

// TestDamage flips bytes: either it is noticed, or the records are as they were.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	whole := filled(t, path)
	noticed := 0
	for at := 0; at < len(whole); at += 97 {
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		count := 0
		_, err := boltfile.Check(bytes.NewReader(b), int64(len(b)), func(bucket string, key, value []byte) (string, error) {
			count++
			return sealed(bucket, key, value)
		})
		if err != nil {
			noticed++
		} else if count != 300 {
			t.Errorf("byte %d: %d records and no word of it", at, count)
		}
	}
	if noticed < 100 {
		t.Errorf("%d flips noticed, want most of those in the records' 30 KB", noticed)
	}
	for name, b := range map[string][]byte{"empty": {}, "half": whole[:len(whole)/2], "a text": []byte(strings.Repeat("hello\n", 5000))} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := boltfile.Open(path, nil, sealed); !errors.Is(err, boltfile.ErrDamaged) {
			t.Errorf("%s: %v, want %v", name, err, boltfile.ErrDamaged)
		}
	}
	aside, err := boltfile.Aside(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
	filled(t, path)
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = boltfile.Check(bytes.NewReader(b), int64(len(b)), sealed) // it returns
	})
}

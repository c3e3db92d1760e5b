package supply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"primespark/shared/conf"
	"primespark/shared/identity"
	"primespark/shared/modelpack"
	"primespark/shared/task"
)

// reserve is the room that models leave on the disk for everything else, in bytes.
const reserve = 64 << 20

// A fetcher gets an object of which it is certain that it is that one.
type fetcher func(ctx context.Context, o task.Object) ([]byte, error)

// fetch gets the files that are not there yet, and tells after each part how many
// bytes of them are.
func (s *Store) fetch(ctx context.Context, files []modelpack.BillFile, get fetcher, progress func(done, all int64)) error {
	var done, all int64
	var missing []modelpack.BillFile
	for _, f := range files {
		if !s.has(f) {
			missing = append(missing, f)
			all += f.Size
		}
	}
	if err := s.room(all); err != nil {
		return err
	}
	for _, f := range missing {
		before := done
		if err := s.fetchFile(ctx, f, get, func(n int64) { progress(before+n, all) }); err != nil {
			return fmt.Errorf("fetch %s: %w", f.Name, err)
		}
		done += f.Size
	}
	return nil
}

// errRoom tells that the disk has no room for a model.
var errRoom = errors.New("no room on the disk")

func (s *Store) room(need int64) error {
	if need == 0 {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return fmt.Errorf("see how much room the disk has: %w", err)
	}
	if free := int64(min(st.Bavail, 1<<40)) * st.Bsize; free < need+reserve {
		return fmt.Errorf("%w: it needs %v, and %v are free, of which %v stay so",
			errRoom, conf.Size(need>>20<<20+1<<20), conf.Size(free>>20<<20), conf.Size(reserve))
	}
	return nil
}

// fetchFile gets one file, from where an earlier attempt broke off.
func (s *Store) fetchFile(ctx context.Context, want modelpack.BillFile, get fetcher, progress func(int64)) (err error) {
	path := s.filePath(want.SHA256)
	f, err := os.OpenFile(path+partial, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	sum := sha256.New()
	from, at, err := resume(f, want.Parts, sum)
	if err != nil {
		return err
	}
	for _, o := range want.Parts[from:] {
		progress(at)
		if at, err = next(ctx, f, o, at, get, sum); err != nil {
			return err
		}
	}
	progress(at)
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.SHA256 {
		return errors.Join(fmt.Errorf("its parts make a file with the SHA-256 %.12s…, not %.12s…", got, want.SHA256), os.Remove(f.Name()))
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(path+partial, path); err != nil {
		return err
	}
	return identity.SyncDir(s.dir + "/" + fileDir)
}

// next gets one part and has it on the disk when it returns.
func next(ctx context.Context, f *os.File, o task.Object, at int64, get fetcher, sum hash.Hash) (int64, error) {
	data, err := get(ctx, o)
	if err != nil {
		return at, err
	}
	if err := o.Check(data); err != nil {
		return at, err
	}
	if _, err := f.WriteAt(data, at); err != nil {
		return at, err
	}
	sum.Write(data) // a hash never fails to be written
	return at + o.Size, f.Sync()
}

// resume finds out how many of the parts an earlier attempt left whole, adds them to
// sum, and cuts off the rest.
func resume(f *os.File, parts []task.Object, sum hash.Hash) (n int, at int64, err error) {
	buffer := make([]byte, 0)
	for _, o := range parts {
		buffer = append(buffer[:0], make([]byte, o.Size)...)
		if _, err := f.ReadAt(buffer, at); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return 0, 0, err
		}
		if task.ObjectOf(buffer) != o {
			break
		}
		sum.Write(buffer)
		n, at = n+1, at+o.Size
	}
	return n, at, f.Truncate(at)
}

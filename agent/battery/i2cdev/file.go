package i2cdev

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"primespark/agent/battery/registers"
)

// file is a file of registers in place of a bus.
type file string

// fileMost bounds what is read of it, in bytes.
const fileMost = 64<<10 + 1

func (f file) transfer(addr uint16, w, r []byte) error {
	chips, err := f.read()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err != nil {
		return err
	}
	chip := chips[addr]
	if chip == nil {
		return fmt.Errorf("%w: the file has no chip %#02x", ErrNAK, addr)
	}
	before := registers.Format(chips)
	chip.Tx(w, r)
	if after := registers.Format(chips); !bytes.Equal(before, after) {
		return f.write(after)
	}
	return nil
}

func (f file) read() (map[uint16]*registers.Chip, error) {
	in, err := os.Open(string(f))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, fileMost))
	if err != nil {
		return nil, err
	}
	return registers.Parse(text)
}

// write puts a whole file in the place of the old one, so that nobody reads half of it.
func (f file) write(text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(string(f)), ".registers-*")
	if err != nil {
		return fmt.Errorf("keep what was written to a chip: %w", err)
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), string(f))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep what was written to a chip: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// Close has nothing to give back.
func (f file) Close() error { return nil }

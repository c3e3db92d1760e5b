// Package download gets a file whose SHA-256 is known over HTTPS.
//
// What broke off goes on where it was. A redirect may lead to another public host, and
// never into a private network, whatever its name resolves to at the moment when the
// connection is made: a server elsewhere must not make this machine ask one behind
// its firewall. The first address is the user's own word and may be private.
package download

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"primespark/shared/problem"
)

// Bounds of a download.
const (
	maxSize  = 4 << 30 // bytes
	maxHops  = 5       // redirects
	attempts = 5       // in a row without a byte more
)

// stall is how long a server may send nothing.
const stall = 30 * time.Second

// A File is what is to be had.
type File struct {
	URL    string
	SHA256 string // hexadecimal, lower case
	Path   string // where it goes; what is there half of it has ".part" after it
}

// A Getter gets files. The zero value is ready.
type Getter struct {
	// Transport makes the round trips of a hop; strict ones do not reach private
	// networks. Nil: over the network.
	Transport func(strict bool) http.RoundTripper
	// Progress is told how many bytes are there, and how many there are to be; 0 if that
	// is not known.
	Progress func(done, all int64)
	// Pause is how long to wait before going on after a connection broke off; 0: 2 s.
	Pause time.Duration
}

// Get gets a file. The error is a *problem.Error, or the context's.
func (g Getter) Get(ctx context.Context, f File) error {
	u, err := check(f.URL)
	if err != nil {
		return err
	}
	part, err := os.OpenFile(f.Path+".part", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unkept(err)
	}
	defer part.Close() // once more, if all went well
	if err := g.fill(ctx, u, part); err != nil {
		return err
	}
	if err := verify(part, f.SHA256); err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	if err := errors.Join(part.Sync(), part.Close(), os.Rename(part.Name(), f.Path)); err != nil {
		return unkept(err)
	}
	return nil
}

// check wants an address that can be asked without anybody listening.
func check(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return nil, problem.New(problem.Invalid, "Give one as in https://example.org/yolox-nano.tar.", "The address %.100q is none.", address)
	case u.Scheme != "https":
		return nil, problem.New(problem.Invalid, "Give one that begins with https://, or download it yourself and give the file.", "The address %.100q is not of HTTPS.", address)
	case u.User != nil:
		return nil, problem.New(problem.Invalid, "Download it yourself and give the file.", "The address holds a password, which would be in logs.")
	}
	return u, nil
}

// fill gets what the file lacks, with new attempts as long as some of it comes.
func (g Getter) fill(ctx context.Context, u *url.URL, part *os.File) error {
	for idle := 0; ; idle++ {
		before, err := part.Seek(0, io.SeekEnd)
		if err != nil {
			return unkept(err)
		}
		err = g.more(ctx, u, part, before)
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		after, fault := part.Seek(0, io.SeekEnd)
		if fault != nil {
			return unkept(fault)
		}
		if after > before {
			idle = 0
		}
		if p, ok := errors.AsType[*problem.Error](err); ok && p.Code != problem.Unreachable || idle == attempts {
			return err
		}
		pause := g.Pause
		if pause == 0 {
			pause = 2 * time.Second
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// more asks for the file from a byte on and appends what comes.
func (g Getter) more(ctx context.Context, u *url.URL, part *os.File, from int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stall, func() { cancel(errors.New("nothing came for " + stall.String())) })
	defer watch.Stop()
	res, err := g.ask(ctx, u, from)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	all := int64(0)
	switch {
	case res.StatusCode == http.StatusPartialContent:
		if !strings.HasPrefix(res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", from)) {
			return problem.New(problem.Unreachable, "Download it yourself and give the file.", "The server %s sends another part than was asked for.", u.Host)
		}
		if res.ContentLength > 0 {
			all = from + res.ContentLength
		}
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && from > 0:
		return nil // there is no more of it; the sum will tell
	case res.StatusCode == http.StatusOK: // from its beginning
		from, all = 0, max(0, res.ContentLength)
		if err := part.Truncate(0); err != nil {
			return unkept(err)
		}
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			return unkept(err)
		}
	default:
		return answered(u.Host, res)
	}
	if all > maxSize {
		return tooLarge()
	}
	into := &meter{part, from, func(done int64) error {
		watch.Reset(stall)
		if g.Progress != nil {
			g.Progress(done, all)
		}
		if done > maxSize {
			return tooLarge()
		}
		return nil
	}}
	_, err = io.Copy(into, res.Body)
	if _, ok := errors.AsType[*problem.Error](err); err == nil || ok {
		return err
	}
	return brokeOff(u.Host, errors.Join(err, context.Cause(ctx)))
}

// ask follows the redirects by itself, since those are held to other rules.
func (g Getter) ask(ctx context.Context, u *url.URL, from int64) (*http.Response, error) {
	for hop := 0; ; hop++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", u.Host, err)
		}
		req.Header.Set("Accept-Encoding", "identity") // the sum is of the file as it is
		if from > 0 {
			req.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
		}
		res, err := g.transport(hop > 0).RoundTrip(req)
		if err != nil {
			if p, ok := errors.AsType[*problem.Error](err); ok {
				return nil, p
			}
			return nil, brokeOff(u.Host, errors.Join(err, context.Cause(ctx)))
		}
		if res.StatusCode/100 != 3 || res.Header.Get("Location") == "" {
			return res, nil
		}
		next, err := u.Parse(res.Header.Get("Location"))
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return nil, fmt.Errorf("ask %s: %w", u.Host, err)
		}
		if u, err = check(next.String()); err != nil {
			return nil, err
		}
		if hop == maxHops {
			return nil, problem.New(problem.Invalid, "Give the address that it leads to in the end.", "The address redirects more than %d times.", maxHops)
		}
	}
}

func (g Getter) transport(strict bool) http.RoundTripper {
	if g.Transport != nil {
		return g.Transport(strict)
	}
	if strict {
		return public
	}
	return anywhere
}

// A meter tells how far a file is.
type meter struct {
	to   io.Writer
	done int64
	tell func(done int64) error
}

func (m *meter) Write(b []byte) (int, error) {
	n, err := m.to.Write(b)
	if err != nil {
		return n, unkept(err)
	}
	m.done += int64(n)
	return n, m.tell(m.done)
}

func verify(f *os.File, want string) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return unkept(err)
	}
	return compare(f, want, "Check the address and the sum with whoever gave them to you; what was downloaded is deleted.")
}

// Verify compares the file at path with its SHA-256.
func Verify(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the file: %w", err)
	}
	defer f.Close()
	return compare(f, want, "Check the file and the sum with whoever gave them to you.")
}

func compare(r io.Reader, want, remedy string) error {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("read the file: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return problem.New(problem.Conflict, remedy, "The file has the SHA-256 %s, not %s.", got, want)
	}
	return nil
}

func answered(host string, res *http.Response) error {
	code := problem.Invalid
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests {
		code = problem.Unreachable
	}
	return problem.New(code, "Check the address; it must be of the file itself.", "The server %s answers %s.", host, res.Status)
}

func brokeOff(host string, err error) error {
	return &problem.Error{
		Code: problem.Unreachable, Err: err, Detail: "The connection to " + host + " broke off, or was never made.",
		Remedy: "Run the command again: it goes on where it was.",
	}
}

func tooLarge() error {
	return problem.New(problem.TooLarge, "A package of a model is smaller; check the address.", "The file has more than %d GiB.", maxSize>>30)
}

func unkept(err error) error {
	return &problem.Error{
		Code: problem.Invalid, Err: err, Detail: "The file cannot be kept: " + err.Error() + ".", Remedy: "See that the folder is writable and the disk has room.",
	}
}

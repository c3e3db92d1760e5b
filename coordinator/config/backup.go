package config

import (
	"path/filepath"
	"strings"
	"time"

	"primespark/shared/conf"
)

// Backup configures the backups that the leader makes by itself.
type Backup struct {
	Dir       string        `yaml:"dir"` // empty: none are made
	Every     conf.Duration `yaml:"every"`
	Keep      int           `yaml:"keep"`
	Recipient string        `yaml:"recipient"` // public key of age
}

func (c Backup) check(f *conf.File) {
	const help = "age-keygen -o backup.key prints one"
	if c.Dir != "" && !filepath.IsAbs(c.Dir) {
		f.Bad("backup.dir", "%q is not an absolute path; give one, as in /mnt/nas/prime-spark", c.Dir)
	}
	f.CheckEvery("backup.every", c.Every, time.Minute, 7*24*time.Hour)
	if c.Keep < 1 || c.Keep > 10_000 {
		f.Bad("backup.keep", "%d is not between 1 and 10000; 48 keeps two days of hourly backups", c.Keep)
	}
	switch {
	case c.Recipient == "" && c.Dir != "":
		f.Bad("backup.recipient", "is empty, and backups are never written in the clear; give a public key, age1...: %s", help)
	case strings.HasPrefix(strings.ToUpper(c.Recipient), "AGE-SECRET-KEY-"):
		// Not quoted: it is a secret, and now one that lies in a file.
		f.Bad("backup.recipient", "is a private key; give the public one, age1..., and make a new pair, since this one has been written down here")
	case c.Recipient != "" && !publicKey(c.Recipient):
		f.Bad("backup.recipient", "%.80q is not a public key of age; %s", c.Recipient, help)
	}
}

// publicKey reports whether s has the form of one; whether it is one, opening it
// at the start tells.
func publicKey(s string) bool {
	rest, ok := strings.CutPrefix(s, "age1")
	return ok && len(rest) == 58 && strings.Trim(rest, "qpzry9x8gf2tvdw0s3jn54khce6mua7l") == ""
}

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

const (
	entitiesFile = "homeassistant.json" // in the state directory
	entitiesMost = 512                  // that are remembered
	entitiesSize = 64 << 10             // bytes of the file, at most
)

// entities remembers by name which entities Home Assistant was ever told of, and
// their platforms: what is not there any more has to be named once to go away, also
// when it went while the agent was down, as a model that was deleted.
type entities struct {
	dir string
	all map[string]string
}

// openEntities reads what add wrote; nothing, with an error, from a file that is
// damaged.
func openEntities(dir string) (*entities, error) {
	e := &entities{dir: dir, all: map[string]string{}}
	f, err := os.Open(filepath.Join(dir, entitiesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, entitiesSize+1))
	if err == nil {
		e.all, err = parseEntities(b)
	}
	if err != nil {
		return e, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return e, nil
}

// parseEntities reads the file. What it returns is never nil.
func parseEntities(b []byte) (map[string]string, error) {
	none := map[string]string{}
	if len(b) > entitiesSize {
		return none, fmt.Errorf("more than %d bytes", entitiesSize)
	}
	var all map[string]string
	if err := json.Unmarshal(b, &all); err != nil {
		return none, err
	}
	if len(all) > entitiesMost {
		return none, fmt.Errorf("%d entities", len(all))
	}
	for name, platform := range all {
		if len(name) > 128 || !fleet.ValidName(platform) && platform != "binary_sensor" {
			return none, fmt.Errorf("%.40q is no entity", name)
		}
	}
	if all == nil {
		return none, nil
	}
	return all, nil
}

// add notes entities that Home Assistant is told of now. It writes when there are
// new ones; too many, and those that are gone for long are forgotten.
func (e *entities) add(now map[string]string) error {
	all := maps.Clone(e.all)
	maps.Copy(all, now)
	if maps.Equal(all, e.all) {
		return nil
	}
	if len(all) > entitiesMost {
		all = maps.Clone(now)
	}
	e.all = all
	b, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("encode the entities: %w", err)
	}
	return identity.WriteFile(e.dir, entitiesFile, b)
}

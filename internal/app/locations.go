package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/places"
)

// openPlaces reads the files about where clients are. A missing or broken one keeps the node from starting; one that
// turns bad later leaves the earlier reading in force and shows in status.
func (a *App) openPlaces() error {
	g := a.file.Node.Geo
	var err error
	a.places, err = places.Open(places.Options{Database: besideFile(a.o.File, g.Database), Latency: besideFile(a.o.File, g.Latency), Logger: a.log})
	if err != nil {
		return fmt.Errorf("%s: node.geo: %w", a.o.File, err)
	}
	a.undo.add("location files", time.Second, func(context.Context) error {
		a.places.Close()
		return nil
	})
	return nil
}

// besideFile makes a relative name one beside the configuration file.
func besideFile(file, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// locationFiles are the files about where clients are, as status shows them, and what is wrong with them.
func (a *App) locationFiles() (files []api.LocationFile, alarms []string) {
	for _, f := range a.places.Status() {
		files = append(files, api.LocationFile{
			Path: f.Path, Kind: string(f.Kind), Type: f.Type, Built: f.Built, Modified: f.Modified.UTC(), Records: f.Records, Fault: f.Fault,
		})
		if f.Fault != "" {
			alarms = append(alarms, "the earlier reading stays in force: "+f.Fault)
		}
	}
	return files, alarms
}

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// linkTree makes the folders of a tree and links to its files, where they are missing.
func linkTree(from string, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		place := to + strings.TrimPrefix(path, from)
		if entry.IsDir() {
			return os.MkdirAll(place, 0o755)
		}
		if err := os.Symlink(path, place); err != nil && !os.IsExist(err) {
			return err
		}
		return nil
	})
}

// removeSources leaves the program and the files that it may read.
func removeSources(code string) error {
	return filepath.WalkDir(code, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case entry.IsDir() && (name == "vendor" || name == mainFolder || name == ".git"):
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return fs.SkipDir
		case name == "go.mod" || name == "go.sum" || strings.HasSuffix(name, ".go"):
			return os.Remove(path)
		}
		return nil
	})
}

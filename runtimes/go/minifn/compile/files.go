package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
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

// touchSources gives the files of a tree a time for which Go keeps no index of their packages.
func touchSources(root string) error {
	soon := time.Now().Add(time.Hour)
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && entry.Type().IsRegular() {
			err = os.Chtimes(path, soon, soon)
		}
		return err
	})
}

// isWritable tells whether files can be made in a folder.
func isWritable(folder string) bool {
	file, err := os.CreateTemp(folder, "")
	if err != nil {
		return false
	}
	file.Close()
	os.Remove(file.Name())
	return true
}

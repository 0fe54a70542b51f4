package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// module is a go.mod.
type module struct {
	name string
	text string
	// Whether it requires modules besides ours.
	requires bool
}

func newModule() module {
	name := "openruntimes/handler"
	version := strings.TrimPrefix(runtime.Version(), "go")
	if parts := strings.SplitN(version, ".", 3); len(parts) > 2 {
		version = parts[0] + "." + parts[1]
	}
	return module{name: name, text: fmt.Sprintf("module %s\n\ngo %s\n", name, version)}
}

// parseModule reads what is needed of a go.mod; Go reports its errors.
func parseModule(text string) module {
	m := module{text: text}
	m.visit(func(words []string) bool {
		switch words[0] {
		case "module":
			m.name = words[1]
		case "require":
			m.requires = m.requires || !isTypes(words[1])
		}
		return true
	})
	return m
}

// visit calls `keep` with the words of each statement, and removes those for which it is false.
func (m *module) visit(keep func(words []string) bool) {
	kept := []string{}
	block := ""
	for _, line := range strings.Split(m.text, "\n") {
		statement, _, _ := strings.Cut(line, "//")
		words := strings.Fields(statement)
		switch {
		case len(words) == 1 && words[0] == ")":
			block = ""
		case len(words) == 2 && words[1] == "(":
			block = words[0]
		case len(words) > 0:
			if block != "" {
				words = append([]string{block}, words...)
			}
			if len(words) > 1 {
				words[1] = strings.Trim(words[1], "\"`")
				if !keep(words) {
					continue
				}
			}
		}
		kept = append(kept, line)
	}
	m.text = strings.Join(kept, "\n")
}

func isTypes(path string) bool {
	return strings.HasPrefix(path, "github.com/open-runtimes/types-for-go/")
}

// replace adds a module that lies in a folder.
func (m *module) replace(path string, version string, folder string) {
	m.visit(func(words []string) bool { return words[0] != "replace" || words[1] != path })
	m.text += fmt.Sprintf("\nrequire %s %s\n\nreplace %s => %s\n", path, version, path, folder)
}

// useVendored takes the modules of a folder `vendor`, which has their packages without their
// go.mod, in place of those of the network.
func (m *module) useVendored(root string) error {
	vendor := filepath.Join(root, "vendor")
	list, err := os.Open(filepath.Join(vendor, "modules.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer list.Close()
	for lines := bufio.NewScanner(list); lines.Scan(); {
		// `# PATH VERSION`, perhaps with ` => REPLACEMENT`
		words := strings.Fields(lines.Text())
		if len(words) < 3 || words[0] != "#" || words[2] == "=>" || isTypes(words[1]) {
			continue
		}
		folder := filepath.Join(vendor, words[1])
		if _, err := os.Stat(folder); err != nil {
			// No package of it is used.
			continue
		}
		file := filepath.Join(folder, "go.mod")
		if err := os.WriteFile(file, []byte("module "+words[1]+"\n"), 0o644); err != nil {
			return err
		}
		m.replace(words[1], words[2], folder)
	}
	return nil
}

// Command compile builds a function:
//
//	compile GO CODE ENTRYPOINT WRAPPER SHARED CACHE
//
// The package of the entrypoint is linked with package worker into CODE/.minifn-function, and the
// sources are removed. SHARED/cache is the build cache that holds Go's own packages; the function
// has one of its own in CACHE when it uses more. The variable GOCACHE names another one.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

const (
	program = ".minifn-function"
	// Folder of the generated package, inside the function's module because a module may keep its
	// packages to itself.
	mainFolder = "minifn_function"
	signature  = "func Main(Context openruntimes.Context) openruntimes.Response"
)

const mainSource = `package main

import (
	handler %q

	"0.minifn/worker"
)

func main() {
	worker.Serve(handler.Main, %q)
}
`

func main() {
	if len(os.Args) != 7 {
		fail("Usage: compile GO CODE ENTRYPOINT WRAPPER SHARED CACHE")
	}
	b := build{
		tool: os.Args[1], code: os.Args[2], entrypoint: filepath.Clean(os.Args[3]),
		wrapper: os.Args[4], shared: os.Args[5], cache: os.Args[6],
	}
	for _, step := range []func() error{b.findModule, b.writeMain, b.chooseCache, b.compile} {
		if err := step(); err != nil {
			fail(err.Error())
		}
	}
	if err := removeSources(b.code); err != nil {
		fail(err.Error())
	}
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}

// build is one run of this command.
type build struct {
	tool, code, entrypoint, wrapper, shared, cache string
	// The folder of the function's module, and its name.
	root   string
	module module
	// The build cache to use, and whether it is the shared one.
	goCache  string
	isShared bool
}

// findModule reads the go.mod above the entrypoint, or makes one in the code.
func (b *build) findModule() error {
	if _, err := os.Stat(filepath.Join(b.code, b.entrypoint)); err != nil {
		return fmt.Errorf("Failed to load entrypoint, file %s does not exist.", b.entrypoint)
	}
	for folder := path.Dir(b.entrypoint); ; folder = path.Dir(folder) {
		b.root = filepath.Join(b.code, folder)
		text, err := os.ReadFile(filepath.Join(b.root, "go.mod"))
		if err == nil {
			b.module = parseModule(string(text))
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if folder == "." {
			b.module = newModule()
			return nil
		}
	}
}

// writeMain writes the main package and completes go.mod.
func (b *build) writeMain() error {
	folder, err := filepath.Rel(b.root, filepath.Join(b.code, filepath.Dir(b.entrypoint)))
	if err != nil {
		return err
	}
	source := fmt.Sprintf(mainSource, path.Join(b.module.name, folder), b.module.name)
	if err := os.MkdirAll(filepath.Join(b.root, mainFolder), 0o755); err != nil {
		return err
	}
	main := filepath.Join(b.root, mainFolder, "main.go")
	if err := os.WriteFile(main, []byte(source), 0o644); err != nil {
		return err
	}
	b.module.replace("github.com/open-runtimes/types-for-go/v4", "v4.0.8", b.wrapper+"/types")
	b.module.replace("0.minifn", "v0.0.0", b.wrapper+"/minifn")
	if err := b.module.useVendored(b.root); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.root, "go.mod"), []byte(b.module.text), 0o644)
}

// chooseCache takes the shared build cache when nothing else is compiled than the function's module.
// Otherwise the function gets one with links to it, or copies where an engine without walls would let
// Go write through the links.
func (b *build) chooseCache() error {
	b.goCache = os.Getenv("GOCACHE")
	if b.goCache != "" {
		return nil
	}
	shared := filepath.Join(b.shared, "cache")
	if isWritable(shared) {
		b.goCache = filepath.Join(b.cache, "go-build-alone")
		err := os.CopyFS(b.goCache, os.DirFS(shared))
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	b.isShared = !b.module.requires && os.Getenv("GOFLAGS") == "" && os.Getenv("CGO_ENABLED") == "0"
	if b.isShared {
		b.goCache = shared
		return nil
	}
	b.goCache = filepath.Join(b.cache, "go-build")
	return linkTree(shared, b.goCache)
}

func (b *build) compile() error {
	if err := touchSources(b.root); err != nil {
		return err
	}
	output := &strings.Builder{}
	var err error
	if b.isShared {
		err = b.run(output)
		if err != nil && strings.Contains(output.String(), b.goCache) {
			// Go keeps an index of packages in the build cache. That of some package is missing,
			// because a file of Go or of minifn got another time since the cache was made.
			output.Reset()
			err = b.run(output, "GODEBUG=goindex=0")
		}
		fmt.Fprint(os.Stderr, output)
	} else {
		err = b.run(io.MultiWriter(os.Stderr, output))
	}
	if err != nil && strings.Contains(output.String(), mainFolder) {
		return fmt.Errorf("The package of %s needs the function\n\n    %s", b.entrypoint, signature)
	}
	if err != nil {
		// Go has written the reason.
		os.Exit(1)
	}
	return nil
}

// run runs Go with its messages to output.
func (b *build) run(output io.Writer, variables ...string) error {
	command := exec.Command(b.tool, "build", "-mod=mod", "-trimpath", "-buildvcs=false",
		// Stack traces need neither of the tables that -s and -w leave out. The worker registers an
		// exit hook of the runtime, which the linker allows on demand.
		"-ldflags=-s -w -checklinkname=0",
		"-o", filepath.Join(b.code, program), "./"+mainFolder)
	command.Dir = b.root
	command.Env = append(os.Environ(), "GOCACHE="+b.goCache, "PWD="+b.root)
	command.Env = append(command.Env, variables...)
	command.Stdout = os.Stdout
	command.Stderr = output
	return command.Run()
}

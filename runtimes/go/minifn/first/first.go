// Package first takes over the process before any other package that can print or read the
// environment: Go initializes packages in the order of their import paths, once those that they
// import are initialized. Import nothing here but what package os imports as well.
package first

import (
	"os"
	"syscall"
	_ "unsafe" // for go:linkname
)

// Socket is the descriptor of the connection to the server.
var Socket = takeSocket()

func init() {
	capture()
	syscall.SetNonblock(Socket, true)
	addExitHook(exitHook{run: func() { OnExit() }, runOnFailure: true})
}

// takeSocket removes the server's variables and returns the descriptor that they name.
func takeSocket() int {
	number := 0
	for _, digit := range os.Getenv("MINIFN_SOCKET")[len("fd:"):] {
		number = 10*number + int(digit-'0')
	}
	for _, variable := range os.Environ() {
		if len(variable) > 7 && variable[:7] == "MINIFN_" {
			name := variable
			for i := range variable {
				if variable[i] == '=' {
					name = variable[:i]
					break
				}
			}
			os.Unsetenv(name)
		}
	}
	syscall.CloseOnExec(number)
	return number
}

// OnExit is called when the function ends the process with os.Exit, as log.Fatal does: its line is
// still in the pipe then. The worker itself exits with syscall.Exit.
var OnExit = func() {}

// exitHook is internal/runtime/exithook.Hook.
type exitHook struct {
	run          func()
	runOnFailure bool
}

//go:linkname addExitHook internal/runtime/exithook.Add
func addExitHook(hook exitHook)

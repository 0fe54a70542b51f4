// Package handler is a function to begin from: `/ping` answers `Pong`, any other path answers with
// what was asked.
package handler

import "github.com/open-runtimes/types-for-go/v4/openruntimes"

func Main(Context openruntimes.Context) openruntimes.Response {
	if Context.Req.Path == "/ping" {
		return Context.Res.Text("Pong")
	}
	Context.Log("asked for", Context.Req.Path)
	return Context.Res.Json(map[string]any{
		"message": "It works. Now change it.",
		"method":  Context.Req.Method,
		"path":    Context.Req.Path,
	})
}

package handler

import (
	"os"
	"os/exec"
	"strings"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

func mirror(Context openruntimes.Context) openruntimes.Response {
	req := Context.Req
	return res.Json(map[string]any{
		"method":      req.Method,
		"scheme":      req.Scheme,
		"host":        req.Host,
		"port":        req.Port,
		"path":        req.Path,
		"queryString": req.QueryString,
		"query":       req.Query,
		"url":         req.Url,
		"headers":     req.Headers,
		"bodyText":    req.BodyText(),
		"body":        req.Body(),
	})
}

var requests = map[string]route{
	"/shell": func(Context openruntimes.Context) openruntimes.Response {
		output, _ := exec.Command("/bin/sh", "-c", Context.Req.BodyText()).Output()
		return res.Binary(output)
	},
	"/body-json": func(Context openruntimes.Context) openruntimes.Response {
		var parsed any
		if err := Context.Req.BodyJson(&parsed); err != nil {
			panic(err)
		}
		return res.Json(map[string]any{"parsed": parsed})
	},
	"/body-binary": func(Context openruntimes.Context) openruntimes.Response {
		return res.Binary(Context.Req.BodyBinary())
	},
	"/body-text": func(Context openruntimes.Context) openruntimes.Response {
		return res.Text(Context.Req.BodyText())
	},
	"/beside": text(beside),
	"/file": func(openruntimes.Context) openruntimes.Response {
		greeting, err := os.ReadFile("greeting.txt")
		if err != nil {
			panic(err)
		}
		return res.Text(string(greeting))
	},
	"/environment": func(openruntimes.Context) openruntimes.Response {
		variables := map[string]string{}
		for _, variable := range os.Environ() {
			name, value, _ := strings.Cut(variable, "=")
			variables[name] = value
		}
		return res.Json(variables)
	},
	"/unicode": func(Context openruntimes.Context) openruntimes.Response {
		text := Context.Req.BodyText() + " ñ"
		Context.Log(text)
		Context.Error(text)
		return res.Text(text)
	},
}

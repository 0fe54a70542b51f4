package handler

import "github.com/open-runtimes/types-for-go/v4/openruntimes"

type route = func(openruntimes.Context) openruntimes.Response

func Main(Context openruntimes.Context) openruntimes.Response {
	if Context.Req.Path == "/raise" {
		Context.Log("called")
		panic("went wrong")
	}
	for _, routes := range []map[string]route{answers, failures, logs, requests} {
		if answer, known := routes[Context.Req.Path]; known {
			return answer(Context)
		}
	}
	return mirror(Context)
}

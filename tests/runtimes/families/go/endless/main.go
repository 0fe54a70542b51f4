package handler

import "github.com/open-runtimes/types-for-go/v4/openruntimes"

func init() {
	for {
	}
}

func Main(Context openruntimes.Context) openruntimes.Response {
	return Context.Res.Empty()
}

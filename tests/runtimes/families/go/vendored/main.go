package handler

import (
	"example.com/lib/inner"
	"example.com/local"
	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

func Main(Context openruntimes.Context) openruntimes.Response {
	return Context.Res.Text(inner.Text + " and " + local.Text)
}

package handler

import (
	"fmt"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

func init() {
	fmt.Println("loading")
	panic("no database")
}

func Main(Context openruntimes.Context) openruntimes.Response {
	return Context.Res.Empty()
}

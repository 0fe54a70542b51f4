package handler

import (
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

var calls atomic.Int64

func init() {
	fmt.Println("loaded")
}

func Main(Context openruntimes.Context) openruntimes.Response {
	return Context.Res.Text(strconv.FormatInt(calls.Add(1), 10))
}

// Go's own HTTP server.
package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(writer http.ResponseWriter, _ *http.Request) {
		io.WriteString(writer, "Pong")
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}

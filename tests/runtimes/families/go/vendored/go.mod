module openruntimes/handler

go 1.23.0

require (
	example.com/lib v1.2.3
	example.com/local v0.0.0
	github.com/open-runtimes/types-for-go/v4 v4.0.7
)

replace example.com/local => ./local

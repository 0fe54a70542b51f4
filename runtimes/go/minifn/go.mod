// The name begins with a digit so that package first comes before all others in the order in which
// Go initializes packages.
module 0.minifn

go 1.21

require github.com/open-runtimes/types-for-go/v4 v4.0.8

replace github.com/open-runtimes/types-for-go/v4 => ../types

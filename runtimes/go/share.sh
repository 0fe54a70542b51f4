# Fill the folder that all builds of one Go toolchain read:
#
#     sh share.sh GO WRAPPER SHARED SCRATCH
#
# SHARED/cache is a build cache of package worker and of what functions use of the standard library;
# the rest is compiled in each build that uses it. SHARED/compile is the program that builds
# functions.

set -e
export GOCACHE="$3/cache"
cd "$2/minifn"
packages=$("$1" list -f '{{if .GoFiles}}{{.ImportPath}}{{end}}' std |
  grep -Ev '(^|/)(internal|vendor)(/|$)|^(cmd|debug|go|plugin|testing)(/|$)')
"$1" build -trimpath -buildvcs=false $packages
"$1" build -trimpath -buildvcs=false -o "$3/compile" ./compile
# A build like those of functions, because the cache knows a package by the module that uses it.
cp -r "$2/starter" "$4/starter"
"$3/compile" "$1" "$4/starter" main.go "$2" "$3" "$4/cache"

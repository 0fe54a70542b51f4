# Fill the folder that all builds of one Go toolchain read:
#
#     sh share.sh GO WRAPPER SHARED
#
# SHARED/cache is a build cache of package worker and of what functions use of the standard library;
# the rest is compiled in each build that uses it. SHARED/compile is the program that builds
# functions.

set -e
export GOCACHE="$3/cache"
cd "$2/minifn"
packages=$("$1" list -f '{{if .GoFiles}}{{.ImportPath}}{{end}}' std |
  grep -Ev '(^|/)(internal|vendor)(/|$)|^(cmd|debug|go|plugin|testing)(/|$)')
"$1" build -trimpath -buildvcs=false $packages ./first ./worker
"$1" build -trimpath -buildvcs=false -o "$3/compile" ./compile

# Fill the folder that all builds of one Go toolchain read:
#
#     sh share.sh GO WRAPPER SHARED
#
# SHARED/cache is a build cache of the standard library and of package worker, SHARED/compile the
# program that builds functions.

set -e
export GOCACHE="$3/cache"
cd "$2/minifn"
"$1" build -trimpath -buildvcs=false std ./first ./worker
"$1" build -trimpath -buildvcs=false -o "$3/compile" ./compile

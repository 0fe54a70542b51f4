# Compile the wrapper, once for each compiler:
#
#     sh shared.sh COMPILER WRAPPER SHARED
#
# SHARED gets `wrapper.o` and the headers of the handler. Handlers include these by the path from
# their own folder to Open Runtimes' src, such as "../RuntimeContext.h": SHARED/include has nested
# folders, so that any number of `../` leads to them.
set -e
compiler=$1 wrapper=$2 shared=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
objects=
for source in "$wrapper"/src/*.cc; do
  object=$work/$(basename "$source" .cc).o
  "$compiler" -std=c++17 -O2 -Wall -Wextra -I/usr/include/jsoncpp -c "$source" -o "$object"
  objects="$objects $object"
done
# shellcheck disable=SC2086 # The names are ours, without spaces.
"$compiler" -r -nostdlib -o "$shared/wrapper.o" $objects

mkdir -p "$shared/include/1/2/3/4/5/6/7/8"
cp "$wrapper"/include/*.h "$shared/include"

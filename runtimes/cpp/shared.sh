# Compile what all functions share, once for each compiler:
#
#     sh shared.sh COMPILER WRAPPER SHARED
#
# SHARED gets the wrapper as `wrapper.o`, the headers of the handler in `include`, and for each
# version of the language `VERSION/prelude.h` with its precompiled form. Handlers include headers by
# the path from their own folder to Open Runtimes' src, such as "../RuntimeContext.h": `include` has
# nested folders, so that any number of `../` leads to them.
set -e
compiler=$1 wrapper=$2 shared=$3

mkdir -p "$shared/include/1/2/3/4/5/6/7/8"
cp "$wrapper"/include/*.h "$shared/include"

for version in 17 20; do
  mkdir "$shared/$version"
  cp "$wrapper/prelude.h" "$shared/$version"
  . "$wrapper/options.sh"
  "$compiler" "$@" -x c++-header "$shared/$version/prelude.h" -o "$shared/$version/prelude.h.gch"
done

version=17
. "$wrapper/options.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && "$compiler" "$@" -Wall -Wextra -c "$wrapper"/src/*.cc)
"$compiler" -r -nostdlib -o "$shared/wrapper.o" "$work"/*.o

# Compile a function to CODE/.minifn/function; the code is the working directory.
#
#     sh compile.sh COMPILER WRAPPER SHARED VERSION ENTRYPOINT
#
# The entry is one translation unit with what it includes, in VERSION of the language.
# compile_flags.txt, if the code has one, gives further options, such as `-lcurl`. The sources are
# removed: a worker needs the program and the files that it reads.
compiler=$1 wrapper=$2 shared=$3 version=$4 entrypoint=$5

fail() {
  echo "$1" >&2
  exit 1
}

case $entrypoint in
*\"* | *\\*) fail "The entrypoint's name has a quotation mark or a backslash." ;;
esac
[ -f "$entrypoint" ] || fail "Failed to load entrypoint, file $entrypoint does not exist."
if [ -f CMakeLists.txt ]; then
  echo "CMakeLists.txt is not used: options and libraries come from compile_flags.txt." >&2
fi

. "$wrapper/options.sh"
set -- "$@" -include "$shared/$version/prelude.h"
folder=$shared/include
for name in 1 2 3 4 5 6 7 8; do
  folder=$folder/$name
  set -- "$@" -iquote "$folder"
done
flags=
[ ! -f compile_flags.txt ] || flags=@compile_flags.txt

mkdir -p .minifn || exit
"$compiler" "$@" -x c++ - -x none "$shared/wrapper.o" $flags -ljsoncpp -o .minifn/function <<SOURCE || exit
#line 1 "minifn"
namespace runtime {
class Handler;
}
#include "$entrypoint"
namespace minifn {
template <typename T, typename = void> constexpr bool has_main = false;
template <typename T>
constexpr bool
    has_main<T, std::void_t<decltype(T::main(std::declval<runtime::RuntimeContext &>()))>> = true;
static_assert(has_main<runtime::Handler>,
              "Function signature invalid. Did you forget to export a 'main' function? It is: "
              "namespace runtime { class Handler { public: "
              "static RuntimeOutput main(RuntimeContext &context); }; }");
template <typename T> runtime::RuntimeOutput call(runtime::RuntimeContext &context) {
  if constexpr (has_main<T>)
    return T::main(context);
  return {};
}
runtime::RuntimeOutput handle(runtime::RuntimeContext &context) {
  return call<runtime::Handler>(context);
}
}
SOURCE

find . -path ./.minifn -prune -o -type f \( -name '*.c' -o -name '*.cc' -o -name '*.cpp' \
  -o -name '*.cxx' -o -name '*.h' -o -name '*.hh' -o -name '*.hpp' -o -name '*.hxx' \
  -o -name '*.o' -o -name '*.a' \) -exec rm -f {} +

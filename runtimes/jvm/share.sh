# Fill the folder that all functions of one Java or Kotlin toolchain share, read-only:
#
#     sh share.sh FAMILY JAVA_PREFIX COMMON WRAPPER SHARED [KOTLIN_PREFIX]
#
# FAMILY is `Java` or `Kotlin`. SHARED gets the wrapper's jars, and class-data archives of a worker and of a build: they
# hold the classes as the virtual machine lays them out, and halve the time of a start. The classes are those that a
# small function loads here while it is compiled and called.

set -e
family=$1 java=$2 common=$3 wrapper=$4 shared=$5 kotlin=$6
gson=/usr/share/java/gson.jar
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/classes" "$work/code"

# Jars. Without indy, because a lambda or a joined string costs a start some milliseconds each.
libraries=
if [ -f "$gson" ]; then
  cp "$gson" "$shared/gson.jar"
  libraries=gson.jar
  sources=$(find "$common/gson" -name '*.java')
fi
for name in ${kotlin:+kotlin-stdlib kotlinx-coroutines-core-jvm}; do
  cp "$kotlin/lib/$name.jar" "$shared/$name.jar"
  libraries="$libraries $name.jar"
done
cd "$shared"
class_path=$(echo $libraries | tr ' ' ':')
# shellcheck disable=SC2046,SC2086 # Paths of the wrapper have no blanks.
"$java/bin/javac" -proc:none -encoding UTF-8 -XDstringConcat=inline -cp "$class_path" -d "$work/classes" \
  $(find "$common/src" "$wrapper/src" -name '*.java') $sources
build_path=$shared/server.jar
if [ -n "$kotlin" ]; then
  # The wrapper's own compilation loads what others will; the starter is compiled with it.
  build_path=$kotlin/lib/kotlin-compiler.jar
  # shellcheck disable=SC2046
  "$java/bin/java" "@$common/build.args" "-XX:DumpLoadedClassList=$work/build" -cp "$build_path" \
    org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -no-stdlib -no-reflect -module-name minifn \
    -Xlambdas=class -Xsam-conversions=class -Xstring-concat=inline -Xdisable-default-scripting-plugin \
    -cp "$work/classes:$class_path" -d "$work/classes" $(find "$wrapper/src" "$wrapper/starter" -name '*.kt')
  mkdir -p "$work/code/.minifn/classes/io/openruntimes/kotlin"
  mv "$work/classes/io/openruntimes/kotlin/src" "$work/code/.minifn/classes/io/openruntimes/kotlin"
fi
printf 'Main-Class: minifn.Server\nAdd-Opens: java.base/java.io java.base/java.lang\nClass-Path: %s\n' "$libraries" \
  >"$work/manifest"
"$java/bin/jar" --create --file server.jar --manifest "$work/manifest" -C "$work/classes" .

cd "$wrapper/starter"
entry=$(echo src/*)
cp -r src "$work/code/src"
cd "$work/code"
if [ -z "$kotlin" ]; then
  "$java/bin/java" "@$common/build.args" "-XX:DumpLoadedClassList=$work/build" -cp "$build_path" \
    minifn.Compile "minifn.${family}Family" "$shared" "$entry"
fi

# A worker: its socket is a file that begins with the frame that it writes first.
frame() {
  printf "\\000\\000\\$(printf %03o $((${#1} / 256)))\\$(printf %03o $((${#1} % 256)))\\000\\000\\000\\000%s" "$1"
}
request='"method":"GET","scheme":"http","host":"fn","port":80,"path":"/","query":"a=b","headers":{"host":"fn"}'
{
  frame '{"type":"ready","protocol":1,"concurrency":0}'
  frame '{"type":"load"}'
  frame "{\"type\":\"request\",\"id\":1,$request,\"timeout\":9,\"logging\":true}"
  frame '{"type":"stop"}'
} >"$work/frames"
MINIFN_SOCKET=fd:3 MINIFN_CODE="$work/code" OPEN_RUNTIMES_ENTRYPOINT="$entry" \
  "$java/bin/java" "@$common/worker.args" "-XX:DumpLoadedClassList=$work/worker" -jar "$shared/server.jar" \
  "minifn.${family}Family" 3<>"$work/frames"

# archive NAME CLASS_PATH: make an archive of the classes that were listed in $work/NAME.
archive() {
  "$java/bin/java" -Xshare:dump -XX:+UseG1GC -Xlog:disable "-XX:SharedClassListFile=$work/$1" \
    "-XX:SharedArchiveFile=$shared/$1.jsa" -cp "$2" >"$work/log" 2>&1 || cat "$work/log"
}
archive build "$build_path"
archive worker "$shared/server.jar"

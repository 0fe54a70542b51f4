# Start a worker.
#
#     sh start.sh DOWNLOADS COMMAND [ARGUMENT ...]
#
# Deno finds what the build has downloaded by links in its own directory. That is another one, because Deno writes to
# it: with one that is read-only it starts 150 ms later.

downloads=$1
shift
for name in npm remote; do
  [ -d "$downloads/$name" ] || continue
  mkdir -p "$DENO_DIR" && ln -sfn "$downloads/$name" "$DENO_DIR/$name" || exit
done
# The registry of the build's packages.
if [ -z "$NPM_CONFIG_REGISTRY" ] && [ -f "$downloads/registry" ]; then
  read -r NPM_CONFIG_REGISTRY <"$downloads/registry"
  export NPM_CONFIG_REGISTRY
fi
exec "$@"

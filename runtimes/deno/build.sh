# Run a command of a build: sh build.sh COMMAND [ARGUMENT ...]

# Deno reads the address of npm's registry under this name alone.
if [ -z "$NPM_CONFIG_REGISTRY" ] && [ -n "$npm_config_registry" ]; then
  export NPM_CONFIG_REGISTRY="$npm_config_registry"
fi
# Workers find packages by that address as well. It is kept without a password.
if [ -n "$NPM_CONFIG_REGISTRY" ]; then
  mkdir -p "$DENO_DIR"
  printf '%s\n' "$NPM_CONFIG_REGISTRY" | sed 's|//[^/@]*@|//|' >"$DENO_DIR/registry"
fi
exec "$@"

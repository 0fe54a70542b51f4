# Fill the folder that all builds of one Rust toolchain read:
#
#     sh share.sh RUSTC WRAPPER SHARED SCRATCH
#
# SHARED/deps has the compiled crates that a function's program consists of, besides its own;
# SHARED/compile is the program that builds functions.

set -e
cargo="${1%/*}/cargo"
export CARGO_HOME="$4/cargo" CARGO_TARGET_DIR="$4/target"
mkdir -p "$4/wrapper"
cp -r "$2/Cargo.toml" "$2/types" "$2/worker" "$2/compile" "$4/wrapper"
cd "$4/wrapper"
debian=/usr/share/cargo/registry
if ls "$debian"/serde_json-* "$debian"/serde_derive-* >/dev/null 2>&1; then
  "$cargo" build --release --offline \
    --config 'source.crates-io.replace-with="debian"' --config "source.debian.directory=\"$debian\""
else
  "$cargo" build --release || {
    echo "Rust functions need serde and serde_json: install librust-serde-json-dev, or let builds reach a registry."
    exit 1
  }
fi
mkdir -p "$3/deps"
cp "$4"/target/release/deps/*.rlib "$4"/target/release/deps/*.so "$3/deps"
cp "$4/target/release/compile" "$3/compile"

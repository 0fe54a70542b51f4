# Prepare a Node.js build, then run its command.
#
#     sh prepare.sh FOLDER COMMAND [ARGUMENT ...]
#
# FOLDER/bin is where `npm install --global` puts programs (npm_config_prefix is FOLDER). Appwrite's images have pnpm,
# yarn and corepack: for those this machine lacks, FOLDER/missing holds a script that installs the tool when it is
# called, in the version that `packageManager` of package.json names, else in the newest that this Node.js runs.

folder=$1
shift
mkdir -p "$folder/bin" "$folder/missing" || exit

# `corepack enable` puts its programs beside the corepack that PATH finds.
if found=$(command -v corepack); then
  ln -s "$found" "$folder/bin/corepack"
fi
# pnpm before version 11 has no variables of its own, and npm warns of those it does not know.
mkdir -p "$HOME/.config/pnpm"
cat >"$HOME/.config/pnpm/rc" <<RC
store-dir=$pnpm_config_store_dir
package-import-method=$pnpm_config_package_import_method
RC
# Corepack has a name of its own for npm's registry.
if [ -n "$npm_config_registry" ]; then
  export COREPACK_NPM_REGISTRY="${COREPACK_NPM_REGISTRY:-$npm_config_registry}"
fi

for name in pnpm pnpx yarn yarnpkg corepack; do
  command -v "$name" >/dev/null && continue
  cat >"$folder/missing/$name" <<'SCRIPT'
#!/bin/sh
name=${0##*/}
program=${0%/missing/*}/bin/$name
# A shell remembers where it found a name.
[ -e "$program" ] && exec "$program" "$@"
case $name in pnpx) tool=pnpm ;; yarnpkg) tool=yarn ;; *) tool=$name ;; esac
package=$(node -e '
  const tool = process.argv[1];
  let wanted = "";
  try { wanted = JSON.parse(require("fs").readFileSync("package.json", "utf8")).packageManager ?? ""; } catch {}
  const [, named, version] = /^(\w+)@([^+]+)/.exec(wanted) ?? [];
  let newest = "*";
  // From version 12 on pnpm has its locks in /tmp, wherever TMPDIR leads; not every engine opens that.
  if (tool === "pnpm") try { fs.rmdirSync(fs.mkdtempSync("/tmp/pnpm-")); } catch { newest = "<12"; }
  if (named !== tool) console.log(tool + "@" + newest);
  // From version 2 on yarn has another name in the registry.
  else console.log((tool === "yarn" && !version.startsWith("1.") ? "@yarnpkg/cli-dist" : tool) + "@" + version);
' "$tool") || exit
echo "This machine has no $tool: installing $package for this build." >&2
npm install --global --silent "$package" >&2 || exit
exec "$program" "$@"
SCRIPT
  chmod +x "$folder/missing/$name"
done

exec "$@"

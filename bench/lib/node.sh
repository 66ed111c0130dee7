# Sourced. Puts node on the PATH of a GPU machine that has none, from .gpu/node.xz, where the repository is the working directory.
if ! command -v node >/dev/null 2>&1; then
  mkdir -p "$HOME/.moa-node"
  [ -x "$HOME/.moa-node/node" ] || { xz -dc .gpu/node.xz >"$HOME/.moa-node/node.part" && chmod +x "$HOME/.moa-node/node.part" && mv "$HOME/.moa-node/node.part" "$HOME/.moa-node/node"; }
  export PATH="$HOME/.moa-node:$PATH"
fi

#include "../RuntimeContext.h"

namespace {

bool load() {
  for (volatile int turns = 0;; turns = turns + 1)
    continue;
}

const bool LOADED = load();

} // namespace

namespace runtime {
class Handler {
public:
  static RuntimeOutput main(RuntimeContext &context) { return context.res.text(LOADED ? "yes" : "no"); }
};
} // namespace runtime

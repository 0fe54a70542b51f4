#include "../RuntimeContext.h"
#include <notthereatall>

namespace runtime {
class Handler {
public:
  static RuntimeOutput main(RuntimeContext &context) { return context.res.empty(); }
};
} // namespace runtime

#include "../RuntimeContext.h"

#include <iostream>

namespace {

const bool LOADED = [] {
  std::cout << "loaded" << std::endl;
  return true;
}();
int calls = 0;

} // namespace

namespace runtime {
class Handler {
public:
  static RuntimeOutput main(RuntimeContext &context) { return context.res.text(std::to_string(++calls)); }
};
} // namespace runtime

#include "../RuntimeContext.h"

#include <iostream>
#include <stdexcept>

namespace {

int load() {
  std::cout << "loading" << std::endl;
  throw std::runtime_error("no database");
}

const int LOADED = load();

} // namespace

namespace runtime {
class Handler {
public:
  static RuntimeOutput main(RuntimeContext &context) { return context.res.text(std::to_string(LOADED)); }
};
} // namespace runtime

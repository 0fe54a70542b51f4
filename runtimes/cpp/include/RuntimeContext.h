#ifndef CPP_RUNTIME_RUNTIMECONTEXT_H
#define CPP_RUNTIME_RUNTIMECONTEXT_H

#include "RuntimeRequest.h"
#include "RuntimeResponse.h"

#include <memory>
#include <string>

namespace minifn {
class Call;
}

namespace runtime {

/// The argument of the handler. A copy may outlive the call; its lines are dropped then.
class RuntimeContext {
public:
  RuntimeRequest req;
  RuntimeResponse res;

  void log(const std::string &message);
  void error(const std::string &message);

  /// The wrapper's own.
  std::shared_ptr<minifn::Call> call;
};

} // namespace runtime

#endif

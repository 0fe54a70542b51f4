#include "../RuntimeContext.h"
#include "../RuntimeOutput.h"
#include "../RuntimeRequest.h"
#include "../RuntimeResponse.h"

#include <functional>
#include <map>
#include <stdexcept>
#include <string>

#include "answers.h"
#include "failures.h"
#include "logs.h"
#include "requests.h"

namespace runtime {

class Handler {
public:
  static RuntimeOutput main(RuntimeContext &context) {
    if (context.req.path == "/raise") {
      context.log("called");
      throw std::runtime_error("went wrong");
    }
    for (const auto *routes : {&ANSWERS, &FAILURES, &LOGS, &REQUESTS})
      if (const auto found = routes->find(context.req.path); found != routes->end())
        return found->second(context);
    // Whatever is not a route mirrors the request.
    return mirror(context);
  }
};

} // namespace runtime

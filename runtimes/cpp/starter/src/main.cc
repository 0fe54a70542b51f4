#include "../RuntimeContext.h"
#include "../RuntimeOutput.h"
#include "../RuntimeRequest.h"
#include "../RuntimeResponse.h"

// A function to begin from: `/ping` answers `Pong`, any other path answers with what was asked.
namespace runtime {
class Handler {
public:
  static RuntimeOutput main(RuntimeContext &context) {
    if (context.req.path == "/ping") {
      return context.res.text("Pong");
    }
    context.log("asked for " + context.req.path);
    Json::Value answer;
    answer["message"] = "It works. Now change it.";
    answer["method"] = context.req.method;
    answer["path"] = context.req.path;
    return context.res.json(answer);
  }
};
} // namespace runtime

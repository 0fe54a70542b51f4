#ifndef MINIFN_CONTEXT_H
#define MINIFN_CONTEXT_H

#include "../include/RuntimeContext.h"

#include <stdexcept>
#include <string>

namespace minifn {

/// The handler did not return an answer; the message is for its author.
class WrongResult : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// Returns the JSON value of a text, null when it is not JSON.
Json::Value parseJson(const std::string &text);

/// Returns `context.req` for a request frame, whose headers it takes; `enforced` ones replace the
/// caller's.
runtime::RuntimeRequest makeRequest(Json::Value &frame, std::string body,
                                    const Json::Value &enforced);

/// Returns the headers of an answer as JSON. Throws WrongResult for an answer that is none.
std::string checkedHeaders(const runtime::RuntimeOutput &output);

} // namespace minifn

#endif

#ifndef CPP_RUNTIME_RUNTIMEOUTPUT_H
#define CPP_RUNTIME_RUNTIMEOUTPUT_H

#include <cstddef>
#include <json/json.h>
#include <string>
#include <vector>

namespace runtime {

/// The function's answer. A header's value is a text, a number, or an array of them, one line each.
struct RuntimeOutput {
  std::vector<std::byte> body;
  int statusCode = 200;
  Json::Value headers;
};

} // namespace runtime

#endif

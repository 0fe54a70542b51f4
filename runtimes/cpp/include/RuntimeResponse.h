#ifndef CPP_RUNTIME_RUNTIMERESPONSE_H
#define CPP_RUNTIME_RUNTIMERESPONSE_H

#include "RuntimeOutput.h"

namespace runtime {

/// `context.res`. Its functions only describe an answer; the handler's result counts.
class RuntimeResponse {
public:
  RuntimeOutput binary(const std::vector<std::byte> &bytes, int statusCode = 200,
                       const Json::Value &headers = {});
  RuntimeOutput text(const std::string &body, int statusCode = 200,
                     const Json::Value &headers = {});
  RuntimeOutput send(const std::string &body, int statusCode = 200,
                     const Json::Value &headers = {});
  RuntimeOutput json(const Json::Value &json, int statusCode = 200, Json::Value headers = {});
  RuntimeOutput empty();
  RuntimeOutput redirect(const std::string &url, int statusCode = 301, Json::Value headers = {});
};

} // namespace runtime

#endif

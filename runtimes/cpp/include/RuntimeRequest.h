#ifndef CPP_RUNTIME_RUNTIMEREQUEST_H
#define CPP_RUNTIME_RUNTIMEREQUEST_H

#include <any>
#include <cstddef>
#include <json/json.h>
#include <string>
#include <vector>

namespace runtime {

/// `context.req`. `body` holds a Json::Value for application/json, else a std::string; `bodyJson`
/// is null for a body that is not JSON.
struct RuntimeRequest {
  std::string method;
  std::string scheme;
  std::string host;
  int port = 80;
  std::string path;
  Json::Value query;
  std::string queryString;
  Json::Value headers;
  std::any body;
  std::vector<std::byte> bodyBinary;
  std::string bodyRaw;
  std::string bodyText;
  Json::Value bodyJson;
  std::string url;
};

} // namespace runtime

#endif

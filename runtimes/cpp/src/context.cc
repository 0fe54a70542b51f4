#include "context.h"

#include "call.h"
#include "text.h"

#include <cstddef>
#include <memory>
#include <string_view>

namespace minifn {

namespace {

constexpr std::size_t BODY_LIMIT = 20 * 1024 * 1024;
/// Most bytes of headers as JSON: those of a frame's header without its other members.
constexpr std::size_t HEADERS_LIMIT = 1024 * 1024 - 1024;
constexpr std::size_t HEADERS_MAX = 1000;

Json::Value parseQuery(std::string_view query) {
  Json::Value result(Json::objectValue);
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (const std::string key(pair.substr(0, equals)); !key.empty())
      result[key] = equals == pair.npos ? "" : std::string(pair.substr(equals + 1));
  }
  return result;
}

Json::Value without(const Json::Value &headers, std::string_view name) {
  Json::Value kept(Json::objectValue);
  for (const std::string &other : headers.getMemberNames())
    if (lower(other) != name)
      kept[other] = headers[other];
  return kept;
}

} // namespace

Json::Value parseJson(const std::string &text) {
  static const Json::CharReaderBuilder builder;
  thread_local const std::unique_ptr<Json::CharReader> reader(builder.newCharReader());
  Json::Value value;
  try {
    if (reader->parse(text.data(), text.data() + text.size(), &value, nullptr))
      return value;
  } catch (const std::exception &) {
    // It is nested too deep, or larger than the memory.
  }
  return {};
}

runtime::RuntimeRequest makeRequest(Json::Value &frame, std::string body,
                                    const Json::Value &enforced) {
  runtime::RuntimeRequest request;
  request.method = frame["method"].asString();
  request.scheme = frame["scheme"].asString();
  request.host = frame["host"].asString();
  request.port = frame["port"].asInt();
  request.path = frame["path"].asString();
  request.queryString = frame["query"].asString();
  request.query = parseQuery(request.queryString);
  request.headers.swap(frame["headers"]);
  for (const std::string &name : enforced.getMemberNames())
    request.headers[name] = enforced[name];

  request.url = request.scheme + "://" + request.host;
  if (request.port != (request.scheme == "https" ? 443 : 80))
    request.url += ":" + std::to_string(request.port);
  request.url += request.path;
  if (!request.queryString.empty())
    request.url += "?" + request.queryString;

  const auto *bytes = reinterpret_cast<const std::byte *>(body.data());
  request.bodyBinary.assign(bytes, bytes + body.size());
  if (!body.empty())
    request.bodyJson = parseJson(body);
  const std::string type = lower(request.headers.get("content-type", "").asString());
  if (type.rfind("application/json", 0) == 0)
    request.body = body.empty() ? Json::Value(Json::objectValue) : request.bodyJson;
  else
    request.body = body;
  request.bodyRaw = body;
  request.bodyText = std::move(body);
  return request;
}

std::string checkedHeaders(const runtime::RuntimeOutput &output) {
  if (output.statusCode < 100 || output.statusCode > 999)
    throw WrongResult("The response's status code " + std::to_string(output.statusCode) +
                      " is not between 100 and 999.");
  if (output.body.size() > BODY_LIMIT)
    throw WrongResult("The response's body has " + std::to_string(output.body.size()) +
                      " bytes, the limit is " + std::to_string(BODY_LIMIT) + ".");
  if (!output.headers.isObject() && !output.headers.isNull())
    throw WrongResult("The response's headers are not a JSON object.");
  std::string result = "[";
  std::size_t count = 0;
  const auto add = [&](const std::string &name, const Json::Value &value) {
    // The server drops names and values that HTTP cannot carry.
    if (!value.isConvertibleTo(Json::stringValue) || !isUtf8(name) || !isUtf8(value.asString()))
      throw WrongResult("The response's header " + name + " has an invalid value.");
    result += (count++ == 0 ? "[" : ",[") + jsonText(name) + "," + jsonText(value.asString()) + "]";
  };
  for (const std::string &name : output.headers.getMemberNames()) {
    const Json::Value &value = output.headers[name];
    if (value.isArray())
      for (const Json::Value &one : value)
        add(name, one);
    else if (!value.isNull())
      add(name, value);
  }
  if (count > HEADERS_MAX)
    throw WrongResult("The response has " + std::to_string(count) + " headers, the limit is " +
                      std::to_string(HEADERS_MAX) + ".");
  if (result.size() > HEADERS_LIMIT)
    throw WrongResult("The response's headers have " + std::to_string(result.size()) +
                      " bytes as JSON, the limit is " + std::to_string(HEADERS_LIMIT) + ".");
  return result + "]";
}

} // namespace minifn

namespace runtime {

void RuntimeContext::log(const std::string &message) { call->log("logs", message); }

void RuntimeContext::error(const std::string &message) { call->log("errors", message); }

RuntimeOutput RuntimeResponse::binary(const std::vector<std::byte> &bytes, int statusCode,
                                      const Json::Value &headers) {
  return {bytes, statusCode, headers};
}

RuntimeOutput RuntimeResponse::text(const std::string &body, int statusCode,
                                    const Json::Value &headers) {
  const auto *bytes = reinterpret_cast<const std::byte *>(body.data());
  return {{bytes, bytes + body.size()}, statusCode, headers};
}

RuntimeOutput RuntimeResponse::send(const std::string &body, int statusCode,
                                    const Json::Value &headers) {
  return text(body, statusCode, headers);
}

RuntimeOutput RuntimeResponse::json(const Json::Value &json, int statusCode,
                                    Json::Value headers) {
  static const Json::StreamWriterBuilder builder = [] {
    Json::StreamWriterBuilder made;
    made["indentation"] = "";
    return made;
  }();
  headers = minifn::without(headers, "content-type");
  headers["content-type"] = "application/json";
  // A value that was never set is an empty object.
  return text(json.isNull() ? "{}" : Json::writeString(builder, json), statusCode, headers);
}

RuntimeOutput RuntimeResponse::empty() { return text("", 204); }

RuntimeOutput RuntimeResponse::redirect(const std::string &url, int statusCode,
                                        Json::Value headers) {
  headers = minifn::without(headers, "location");
  headers["location"] = url;
  return text("", statusCode, headers);
}

} // namespace runtime

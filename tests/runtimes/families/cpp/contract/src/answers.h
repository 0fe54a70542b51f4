#pragma once

#include "../RuntimeContext.h"

using Route = std::function<runtime::RuntimeOutput(runtime::RuntimeContext &)>;
using Routes = std::map<std::string, Route>;

namespace {

constexpr std::size_t MIB = 1024 * 1024;

Json::Value header(const std::string &name, const Json::Value &value) {
  Json::Value headers;
  headers[name] = value;
  return headers;
}

Json::Value list(std::initializer_list<Json::Value> values) {
  Json::Value made(Json::arrayValue);
  for (const Json::Value &value : values)
    made.append(value);
  return made;
}

Json::Value mixedJson() {
  Json::Value made;
  made["text"] = "é";
  made["list"] = list({"a", Json::nullValue, true});
  made["empty"] = list({});
  return made;
}

std::vector<std::byte> everyByte() {
  std::vector<std::byte> bytes;
  for (int value = 0; value < 256; ++value)
    bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

Json::Value manyHeaders(const std::string &query) {
  const int count = std::stoi(query);
  const std::string value(std::stoul(query.substr(query.find(',') + 1)), '"');
  Json::Value headers;
  for (int number = 0; number < count; ++number)
    headers["x-" + std::to_string(number)] = value;
  return headers;
}

runtime::RuntimeOutput nothing(runtime::RuntimeContext &) {}

const Routes ANSWERS = {
    {"/text", [](auto &context) { return context.res.text("héllo"); }},
    {"/text-201",
     [](auto &context) { return context.res.text("made", 201, header("X-Kept", "yes")); }},
    {"/json",
     [](auto &context) {
       return context.res.json(mixedJson(), 201, header("Content-Type", "text/html"));
     }},
    {"/binary", [](auto &context) { return context.res.binary(everyByte()); }},
    {"/empty", [](auto &context) { return context.res.empty(); }},
    {"/send", [](auto &context) { return context.res.send("sent", 203); }},
    {"/redirect", [](auto &context) { return context.res.redirect("https://example.com/a?b=c"); }},
    {"/redirect-302",
     [](auto &context) { return context.res.redirect("/there", 302, header("x-why", "moved")); }},
    {"/html",
     [](auto &context) { return context.res.text("<p>", 200, header("Content-Type", "Text/HTML")); }},
    {"/charset",
     [](auto &context) {
       return context.res.text("x", 200, header("content-type", "text/html; charset=ISO-8859-1"));
     }},
    {"/multipart",
     [](auto &context) {
       return context.res.text("x", 200,
                               header("content-type", "multipart/form-data; boundary=AbC"));
     }},
    {"/hidden",
     [](auto &context) {
       Json::Value headers = header("X-Open-Runtimes-Secret", "1");
       headers["x-seen"] = "2";
       return context.res.text("x", 200, headers);
     }},
    {"/cookies",
     [](auto &context) {
       return context.res.text("x", 200, header("set-cookie", list({"a=1", "b=2"})));
     }},
    {"/number", [](auto &context) { return context.res.text("x", 200, header("x-number", 5)); }},
    {"/injection",
     [](auto &context) {
       Json::Value headers = header("x-bad", "a\r\nx-evil: 1");
       headers["x-good"] = "1";
       return context.res.text("x", 200, headers);
     }},
    {"/handmade",
     [](auto &) {
       runtime::RuntimeOutput output;
       for (const char letter : std::string("made"))
         output.body.push_back(static_cast<std::byte>(letter));
       output.statusCode = 202;
       return output;
     }},
    {"/not-modified", [](auto &context) { return context.res.text("dropped", 304); }},
    {"/twice",
     [](auto &context) {
       context.res.text("first");
       return context.res.text("second");
     }},
    {"/nothing", nothing},
    {"/status-99", [](auto &context) { return context.res.text("x", 99); }},
    {"/large",
     [](auto &context) { return context.res.binary(std::vector<std::byte>(20 * MIB)); }},
    {"/too-large",
     [](auto &context) { return context.res.binary(std::vector<std::byte>(20 * MIB + 1)); }},
    {"/many-headers",
     [](auto &context) {
       return context.res.text("x", 200, manyHeaders(context.req.queryString));
     }},
};

} // namespace

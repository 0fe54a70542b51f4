#pragma once

#include "answers.h"
#include "beside.h"

#include <any>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace {

runtime::RuntimeOutput mirror(runtime::RuntimeContext &context) {
  const runtime::RuntimeRequest &req = context.req;
  Json::Value answer;
  answer["method"] = req.method;
  answer["scheme"] = req.scheme;
  answer["host"] = req.host;
  answer["port"] = req.port;
  answer["path"] = req.path;
  answer["queryString"] = req.queryString;
  answer["query"] = req.query;
  answer["url"] = req.url;
  answer["headers"] = req.headers;
  answer["bodyText"] = req.bodyText;
  if (const auto *text = std::any_cast<std::string>(&req.body))
    answer["body"] = *text;
  else
    answer["body"] = std::any_cast<Json::Value>(req.body);
  return context.res.json(answer);
}

runtime::RuntimeOutput shell(runtime::RuntimeContext &context) {
  FILE *output = popen(("exec < /dev/null; " + context.req.bodyText).c_str(), "r");
  std::string text;
  for (int byte = fgetc(output); byte != EOF; byte = fgetc(output))
    text.push_back(static_cast<char>(byte));
  pclose(output);
  return context.res.text(text);
}

const Routes REQUESTS = {
    {"/shell", shell},
    {"/body-json",
     [](auto &context) {
       Json::Value answer;
       answer["parsed"] = context.req.bodyJson;
       return context.res.json(answer);
     }},
    {"/body-binary", [](auto &context) { return context.res.binary(context.req.bodyBinary); }},
    {"/body-text", [](auto &context) { return context.res.text(context.req.bodyText); }},
    {"/beside", [](auto &context) { return context.res.text(BESIDE); }},
    {"/file",
     [](auto &context) {
       std::ostringstream content;
       content << std::ifstream("greeting.txt").rdbuf();
       return context.res.text(content.str());
     }},
    {"/environment",
     [](auto &context) {
       Json::Value answer;
       for (char **variable = environ; *variable != nullptr; ++variable) {
         const std::string pair = *variable;
         const std::size_t equals = pair.find('=');
         answer[pair.substr(0, equals)] = pair.substr(equals + 1);
       }
       return context.res.json(answer);
     }},
    {"/unicode",
     [](auto &context) {
       const std::string text = context.req.bodyText + " ñ";
       context.log(text);
       context.error(text);
       return context.res.text(text);
     }},
};

} // namespace

#pragma once

#include "answers.h"
#include "beside.h"

#include <any>
#include <fcntl.h>
#include <fstream>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
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

/// Returns the standard output of a script, which gets an empty standard input.
std::string shell(const std::string &script) {
  const char *command[] = {"/bin/sh", "-c", script.c_str(), nullptr};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw std::runtime_error("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  pid_t process = 0;
  const int failed = posix_spawn(&process, command[0], &actions, nullptr,
                                 const_cast<char **>(command), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string output;
  char part[4096];
  for (ssize_t count; (count = read(ends[0], part, sizeof part)) > 0;)
    output.append(part, count);
  close(ends[0]);
  if (failed == 0)
    waitpid(process, nullptr, 0);
  return output;
}

const Routes REQUESTS = {
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
    {"/shell", [](auto &context) { return context.res.text(shell(context.req.bodyText)); }},
    {"/unicode",
     [](auto &context) {
       const std::string text = context.req.bodyText + " ñ";
       context.log(text);
       context.error(text);
       return context.res.text(text);
     }},
};

} // namespace

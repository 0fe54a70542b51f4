#pragma once

#include "answers.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <unistd.h>

namespace {

const std::string WORKER =
    std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
std::atomic<int> calls = 0;

int overflow(volatile int depth) { return overflow(depth + 1) + depth; }

void waitFor(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

const Routes FAILURES = {
    {"/state",
     [](auto &context) {
       Json::Value answer;
       answer["calls"] = ++calls;
       answer["worker"] = WORKER;
       return context.res.json(answer);
     }},
    {"/exit",
     [](auto &context) -> runtime::RuntimeOutput {
       context.log("called");
       const std::string words = "last words\n";
       std::exit(write(2, words.data(), words.size()) > 0 ? 7 : 1);
     }},
    {"/overflow", [](auto &context) { return context.res.text(std::to_string(overflow(1))); }},
    {"/memory",
     [](auto &) -> runtime::RuntimeOutput {
       static std::vector<std::vector<char>> kept;
       for (;;)
         kept.emplace_back(MIB, 'x');
     }},
    {"/sleep",
     [](auto &context) {
       context.log("begun");
       waitFor(std::stod(context.req.queryString));
       return context.res.text(WORKER);
     }},
    {"/never",
     [](auto &context) -> runtime::RuntimeOutput {
       context.log("begun");
       for (;;)
         pause();
     }},
    {"/spin",
     [](auto &context) -> runtime::RuntimeOutput {
       context.log("begun");
       for (volatile int turns = 0;; turns = turns + 1)
         continue;
     }},
    {"/echo",
     [](auto &context) {
       context.log("first " + context.req.bodyText);
       context.error("error " + context.req.bodyText);
       waitFor(std::stod(context.req.queryString) / 1000);
       context.log("second " + context.req.bodyText);
       return context.res.text(context.req.bodyText);
     }},
};

} // namespace

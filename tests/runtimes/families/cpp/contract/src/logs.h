#pragma once

#include "answers.h"

#include <cstdio>
#include <iostream>
#include <thread>

namespace {

const Routes LOGS = {
    {"/log-values",
     [](auto &context) {
       for (const char *value : {"text", "1", "[1,{\"a\":\"b\"}]", "true"})
         context.log(value);
       for (const char *value : {"broken", "{\"code\":5}"})
         context.error(value);
       context.log("");
       return context.res.empty();
     }},
    {"/log-order",
     [](auto &context) {
       for (int number = 0; number < 100; ++number) {
         context.log("log " + std::to_string(number));
         context.error("error " + std::to_string(number));
       }
       return context.res.empty();
     }},
    {"/log-native",
     [](auto &context) {
       context.log("before");
       std::cout << "printed " << 1 << std::endl;
       std::printf("printed %d\n", 2);
       context.log("after");
       return context.res.empty();
     }},
    {"/native-raise",
     [](auto &) -> runtime::RuntimeOutput {
       std::cerr << "printed";
       throw std::runtime_error("went wrong");
     }},
    {"/log-long",
     [](auto &context) {
       context.log(std::string(8000, 'x'));
       context.log(std::string(8001, 'y'));
       return context.res.empty();
     }},
    {"/log-flood",
     [](auto &context) {
       for (int line = 0; line < 1400; ++line)
         context.log(std::string(8000, 'z'));
       return context.res.empty();
     }},
    {"/log-endless",
     [](auto &context) -> runtime::RuntimeOutput {
       for (;;)
         context.log(std::string(8000, 'z'));
     }},
    {"/log-late",
     [](auto &context) {
       std::thread([context]() mutable {
         std::this_thread::sleep_for(std::chrono::milliseconds(20));
         context.log("late");
       }).detach();
       return context.res.empty();
     }},
};

} // namespace

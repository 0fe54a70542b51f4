#pragma once

// Open Runtimes' headers are found from a folder of any depth, by path and by name.
#include "../../../../../RuntimeContext.h"
#include "RuntimeResponse.h"

#include <cmath>
#include <cstdlib>
#include <exception>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace {

/// Whether the wrapper's variables were there when the function was loaded.
const bool SHOWN = std::getenv("MINIFN_SOCKET") != nullptr || std::getenv("MINIFN_CODE") != nullptr;

/// A habit of programs that print much.
const bool UNSYNCED = std::ios_base::sync_with_stdio(false);

int forgetful(int value) {
  if (value > 0)
    return value;
}

void fails() { throw std::invalid_argument("inner"); }

void failsAgain() {
  try {
    fails();
  } catch (...) {
    std::throw_with_nested(std::runtime_error("outer"));
  }
}

void printAll(const std::string &name) {
  for (int part = 0; part < 20; ++part) {
    std::cout << name << ' ';
    std::printf("%s ", name.c_str());
    std::this_thread::yield();
  }
  std::cout << "end" << std::endl;
}

} // namespace

namespace runtime {

class Handler {
public:
  static RuntimeOutput main(RuntimeContext &context) {
    // A copy, as Appwrite's templates make.
    RuntimeRequest req = context.req;
    RuntimeResponse res = context.res;
    const std::string &path = req.path;
    if (path == "/flags")
      return res.text(std::to_string(NUMBER + static_cast<int>(std::cbrt(8))));
    if (path == "/standard")
      return res.text(std::to_string(__cplusplus));
    if (path == "/loading")
      return res.text(SHOWN ? "shown" : "hidden");
    if (path == "/nested")
      failsAgain();
    if (path == "/thrown-text")
      throw "only text";
    if (path == "/thrown-number")
      throw 5;
    if (path == "/library")
      return res.text(std::vector<std::string>().at(3));
    if (path == "/other-thread") {
      std::exception_ptr caught;
      std::thread([&caught] {
        try {
          throw std::runtime_error("of another thread");
        } catch (...) {
          caught = std::current_exception();
        }
      }).join();
      std::rethrow_exception(caught);
    }
    if (path == "/pthread-exit")
      pthread_exit(nullptr);
    if (path == "/forgetful")
      return res.text(std::to_string(forgetful(0)));
    if (path == "/null")
      return res.text(std::to_string(*reinterpret_cast<volatile int *>(req.bodyText.size())));
    if (path == "/fork") {
      const pid_t child = fork();
      if (child == 0)
        // The child's answer is no one's: the parent gives the only one.
        return res.text("child");
      int status = 0;
      waitpid(child, &status, 0);
      return res.text("parent");
    }
    if (path == "/thread-prints") {
      std::thread([] { std::cout << "from a thread" << std::endl; }).join();
      return res.empty();
    }
    if (path == "/prints") {
      printAll(req.bodyText);
      return res.empty();
    }
    if (path == "/partial") {
      std::printf("no newline");
      return res.empty();
    }
    if (path == "/bad-header") {
      Json::Value headers;
      headers["x-bytes"] = "\xff";
      return res.text("x", 200, headers);
    }
    if (path == "/no-object") {
      Json::Value headers(Json::arrayValue);
      headers.append("x");
      return res.text("x", 200, headers);
    }
    return res.json(Json::Value());
  }
};

} // namespace runtime

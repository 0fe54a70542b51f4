#include "failures.h"

#include "server.h"
#include "trace.h"

#include <cstdint>
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <memory>
#include <typeinfo>

namespace minifn {

namespace {

constexpr std::size_t RESERVE_BYTES = 512 * 1024;
constexpr int CAUSES_LIMIT = 4;

std::atomic<void *> reserve = std::malloc(RESERVE_BYTES);

std::string nameOf(const std::type_info &type) {
  const std::unique_ptr<char, void (*)(void *)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr), std::free);
  return name ? name.get() : type.name();
}

std::string describeCause(const std::exception &exception, int left) {
  try {
    if (left > 0)
      std::rethrow_if_nested(exception);
  } catch (const std::exception &cause) {
    return "\nCaused by: " + nameOf(typeid(cause)) + ": " + cause.what() +
           describeCause(cause, left - 1);
  } catch (...) {
    return "\nCaused by: " + describeException();
  }
  return "";
}

} // namespace

std::string describeException() {
  try {
    throw;
  } catch (const std::exception &exception) {
    return nameOf(typeid(exception)) + ": " + exception.what() +
           traceOfException() + describeCause(exception, CAUSES_LIMIT);
  } catch (const std::string &text) {
    return text + traceOfException();
  } catch (const char *text) {
    return text + traceOfException();
  } catch (...) {
    const std::type_info *type = abi::__cxa_current_exception_type();
    return "The function threw a value of type " + (type ? nameOf(*type) : "unknown") + "." +
           traceOfException();
  }
}

std::string outOfMemory() {
  const char *most = std::getenv("APPWRITE_FUNCTION_MEMORY");
  const std::string limit = most == nullptr ? "" : std::string(" of ") + most + " MB";
  return "std::bad_alloc: the function needs more memory than its specification" + limit +
         " allows.";
}

void freeReserve() { std::free(reserve.exchange(nullptr)); }

} // namespace minifn

/// Called by GCC's -fsanitize=return at the end of a function that should have returned a value.
struct MissingReturn {
  const char *file;
  std::uint32_t line;
  std::uint32_t column;
};

extern "C" [[noreturn]] void __ubsan_handle_missing_return(const MissingReturn *place) {
  minifn::Server::instance().abandon(
      "Return statement missing. return context.res.empty() if no response is expected.\n    at " +
      std::string(place->file) + ":" + std::to_string(place->line));
}

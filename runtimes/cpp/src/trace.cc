#include "trace.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>
#include <exception>
#include <fcntl.h>
#include <link.h>
#include <map>
#include <mutex>
#include <poll.h>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <typeinfo>
#include <unistd.h>
#include <unwind.h>
#include <vector>

namespace minifn {

namespace {

constexpr std::size_t FRAMES_MAX = 32;
constexpr std::chrono::milliseconds LOOK_UP_PATIENCE(2000);
/// Most traces that are remembered.
constexpr std::size_t TRACES_MAX = 1000;

/// The last exception that this thread threw, and the addresses of its calls.
struct Thrown {
  const void *object = nullptr;
  std::size_t count = 0;
  std::array<std::uintptr_t, FRAMES_MAX> addresses = {};
};

thread_local Thrown thrown;

/// Part of _Unwind_Backtrace.
_Unwind_Reason_Code addFrame(_Unwind_Context *frame, void *) {
  int before = 0;
  const std::uintptr_t address = _Unwind_GetIPInfo(frame, &before);
  // A return address belongs to what follows the call.
  thrown.addresses[thrown.count++] = before != 0 ? address : address - 1;
  return thrown.count < FRAMES_MAX ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/// Returns the difference between an address of the program and that in its file.
std::uintptr_t loadedAt() {
  std::uintptr_t base = 0;
  const auto first = [](dl_phdr_info *object, std::size_t, void *result) {
    *static_cast<std::uintptr_t *>(result) = object->dlpi_addr;
    return 1;
  };
  dl_iterate_phdr(first, &base);
  return base;
}

bool isOfProgram(std::uintptr_t address) {
  Dl_info own, found;
  return dladdr(reinterpret_cast<void *>(&isOfProgram), &own) != 0 &&
         dladdr(reinterpret_cast<void *>(address), &found) != 0 && found.dli_fbase == own.dli_fbase;
}

/// Returns all that a process writes to a pipe, until it ends or takes too long.
std::string readAll(int pipe, pid_t process) {
  const auto deadline = std::chrono::steady_clock::now() + LOOK_UP_PATIENCE;
  std::string text;
  char part[4096];
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd waiting = {pipe, POLLIN, 0};
    if (left.count() <= 0 || poll(&waiting, 1, static_cast<int>(left.count())) == 0) {
      kill(process, SIGKILL);
      return text;
    }
    const ssize_t count = read(pipe, part, sizeof part);
    if (count > 0)
      text.append(part, static_cast<std::size_t>(count));
    else if (count == 0 || errno != EINTR)
      return text;
  }
}

/// Returns the output of addr2line for addresses of the program's file.
std::string lookUp(const std::vector<std::string> &addresses) {
  char program[4096];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  int ends[2];
  if (length < 0 || pipe2(ends, O_CLOEXEC) != 0)
    return "";
  program[length] = '\0';
  std::vector<const char *> command = {"addr2line",  "--functions", "--demangle",
                                       "--inlines", "-e",          program};
  for (const std::string &address : addresses)
    command.push_back(address.c_str());
  command.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t process = 0;
  const bool started = posix_spawnp(&process, command[0], &actions, nullptr,
                                    const_cast<char **>(command.data()), environ) == 0;
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  if (started) {
    text = readAll(ends[0], process);
    while (waitpid(process, nullptr, 0) < 0 && errno == EINTR)
      continue;
  }
  close(ends[0]);
  return text;
}

/// Returns the lines of a trace for addr2line's answer, which is two lines a call.
std::string describe(const std::string &found) {
  char folder[4096];
  const std::string code = getcwd(folder, sizeof folder) != nullptr ? std::string(folder) + "/" : "";
  std::istringstream lines(found);
  std::string trace, name, place;
  while (std::getline(lines, name) && std::getline(lines, place)) {
    if (!code.empty() && place.rfind(code, 0) == 0)
      place.erase(0, code.size());
    place = place.substr(0, place.find(" (discriminator"));
    const bool known = place[0] != '/' && place.find('?') == place.npos;
    // Others are of libraries, and of the wrapper. GCC has wrong lines for static objects.
    if (known && place.rfind("minifn:", 0) != 0 && name.rfind("minifn::", 0) != 0 &&
        name.rfind("_GLOBAL__sub", 0) != 0)
      trace += "\n    at " + name + " (" + place + ")";
  }
  return trace;
}

} // namespace

std::string traceOfException() {
  const std::exception_ptr handled = std::current_exception();
  const void *object = nullptr;
  static_assert(sizeof handled == sizeof object);
  std::memcpy(&object, &handled, sizeof object);
  if (object == nullptr || object != thrown.object)
    return "";
  static const std::uintptr_t base = loadedAt();
  std::vector<std::string> addresses;
  for (std::size_t at = 0; at < thrown.count; ++at) {
    if (!isOfProgram(thrown.addresses[at]))
      continue;
    std::ostringstream address;
    address << std::hex << thrown.addresses[at] - base;
    addresses.push_back(address.str());
  }
  // A function that fails often does so in the same places.
  static std::mutex mutex;
  static std::map<std::vector<std::string>, std::string> known;
  const std::lock_guard lock(mutex);
  if (known.size() >= TRACES_MAX)
    known.clear();
  const auto [entry, isNew] = known.try_emplace(addresses);
  if (isNew)
    entry->second = describe(lookUp(addresses));
  return entry->second;
}

} // namespace minifn

/// Takes the place of libstdc++'s function of the same name, and ends in it.
extern "C" [[noreturn]] void __cxa_throw(void *object, std::type_info *type,
                                         void (*destructor)(void *)) {
  using Throw = void (*)(void *, std::type_info *, void (*)(void *));
  static const auto go = reinterpret_cast<Throw>(dlsym(RTLD_NEXT, "__cxa_throw"));
  minifn::thrown.object = object;
  minifn::thrown.count = 0;
  _Unwind_Backtrace(minifn::addFrame, nullptr);
  go(object, type, destructor);
  __builtin_unreachable();
}

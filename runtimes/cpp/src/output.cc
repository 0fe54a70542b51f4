#include "output.h"

#include "server.h"

#include <cstdio>
#include <iostream>
#include <streambuf>
#include <string_view>
#include <sys/types.h>
#include <unistd.h>

namespace minifn {

namespace {

void print(std::string_view text, int descriptor) {
  if (Server::instance().print(text))
    return;
  while (!text.empty()) {
    const ssize_t written = write(descriptor, text.data(), text.size());
    if (written <= 0)
      return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// Has no buffer of its own, so that threads can share it.
class Printed : public std::streambuf {
public:
  explicit Printed(int descriptor) : descriptor(descriptor) {}

protected:
  int_type overflow(int_type character) override {
    if (!traits_type::eq_int_type(character, traits_type::eof())) {
      const char one = traits_type::to_char_type(character);
      print({&one, 1}, descriptor);
    }
    return traits_type::not_eof(character);
  }

  std::streamsize xsputn(const char *text, std::streamsize size) override {
    print({text, static_cast<std::size_t>(size)}, descriptor);
    return size;
  }

private:
  int descriptor;
};

#ifdef __GLIBC__
ssize_t printFile(void *descriptor, const char *text, size_t size) {
  print({text, size}, static_cast<int>(reinterpret_cast<intptr_t>(descriptor)));
  return static_cast<ssize_t>(size);
}

/// Returns a file without a buffer, so that each thread's text comes from that thread.
FILE *openPrinted(intptr_t descriptor) {
  FILE *file = fopencookie(reinterpret_cast<void *>(descriptor), "w",
                           {nullptr, printFile, nullptr, nullptr});
  if (file != nullptr)
    std::setvbuf(file, nullptr, _IONBF, 0);
  return file;
}
#endif

} // namespace

void captureOutput() {
  static const std::ios_base::Init streams;
  // A function that calls it would give the streams buffers of their own; the second call does not.
  std::ios_base::sync_with_stdio(false);
  // They live as long as the process: functions print while it exits.
  auto *output = new Printed(STDOUT_FILENO);
  auto *errors = new Printed(STDERR_FILENO);
  std::cout.rdbuf(output);
  std::cerr.rdbuf(errors);
  std::clog.rdbuf(errors);
#ifdef __GLIBC__
  if (FILE *file = openPrinted(STDOUT_FILENO))
    stdout = file;
  if (FILE *file = openPrinted(STDERR_FILENO))
    stderr = file;
#endif
}

} // namespace minifn

#ifndef MINIFN_CALL_H
#define MINIFN_CALL_H

#include "frames.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace minifn {

using Clock = std::chrono::steady_clock;

/// How a call ends besides its answer.
enum class End {
  NORMAL,
  /// It takes too long and goes on in the background.
  TIMED_OUT,
  /// It cannot be ended, or has taken what the next one needs: the server starts another worker.
  STUCK,
  /// The function could not be loaded. Another worker tries again.
  NOT_LOADED,
};

/// One request that is not answered yet. It is answered once, and logs until then.
class Call {
public:
  Call(Writer &writer, int id, bool logging, Clock::time_point deadline)
      : id(id), deadline(deadline), writer(writer), logging(logging) {}

  void log(std::string_view stream, std::string_view message);
  /// Logs printed text line by line, after one notice.
  void print(std::string_view text);
  /// Drops what is logged from now on.
  void mute();
  /// Answers with the headers as JSON.
  void answer(int statusCode, std::string_view headers, std::string_view body);
  /// Answers with an error, which is logged.
  void fail(std::string_view message, End end = End::NORMAL);

  const int id;
  const Clock::time_point deadline;
  /// Whether a thread runs it. Guarded by the server.
  bool begun = false;

private:
  void write(std::string_view stream, std::string_view lines);
  void printLines(std::string_view text);
  void respond(std::string_view members, std::string_view body);

  Writer &writer;
  std::mutex mutex;
  bool logging;
  bool answered = false;
  bool noticed = false;
  /// The end of the printed text, without a newline yet.
  std::string line;
};

} // namespace minifn

#endif

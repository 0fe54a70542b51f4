#ifndef MINIFN_SERVER_H
#define MINIFN_SERVER_H

#include "call.h"
#include "context.h"
#include "frames.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace minifn {

/// Runs the function; defined beside its entry.
runtime::RuntimeOutput handle(runtime::RuntimeContext &context);

/// One warm worker: reads requests from the inherited socket, runs the function on threads, and
/// answers.
///
/// Calls wait in one queue. As many threads take from it as there are processors; a thread whose
/// call lasts longer than two ticks counts no more, and another takes its place. A thread that
/// goes on with the next call leaves its answer unwritten, so that fast calls are answered with one
/// write; the last one writes, or the tick does.
class Server {
public:
  /// The only one. It lives as long as the process.
  static Server &instance();

  /// Reads frames until the server says stop.
  [[noreturn]] void serve();
  /// Answers each call with the exception that ended the loading of the function.
  [[noreturn]] void refuse();
  /// Gives printed text to its call; tells whether there is one.
  bool print(std::string_view text);
  /// Answers the call of this thread with an error, and never returns.
  [[noreturn]] void abandon(const std::string &message);
  /// Writes the answers that wait.
  void flush() { writer.flush(); }
  /// In a forked child: leaves the calls to the parent.
  void forget() { writer.abandon(); }

private:
  struct Waiting {
    std::shared_ptr<Call> call;
    Json::Value frame;
    std::string body;
    std::string printedAhead;
  };

  explicit Server(int descriptor);

  // The reading thread.
  int pauseMilliseconds();
  void accept(Frame frame);
  void acceptRequest(Json::Value &header, Frame &frame);
  void cancel(int id);
  void expire(Clock::time_point now);
  void tick(Clock::time_point now);
  void provideThreads();

  // The other threads.
  void work();
  void run(Waiting &next);
  void end(int id);
  std::shared_ptr<Call> callOfThread();

  Writer writer;
  const int descriptor;
  const unsigned processors;
  std::terminate_handler ordinaryTerminate = nullptr;
  Json::Value enforcedHeaders;

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Waiting> queue;
  /// Unanswered calls by id.
  std::map<int, std::shared_ptr<Call>> calls;
  /// Text that was printed before there was a call, for the first one.
  std::string printedAhead;
  bool serving = false;
  bool stopping = false;
  unsigned threads = 0, idle = 0;
  /// Number of the present tick, and the calls that began in it and in the one before.
  unsigned ticks = 0, begunNow = 0, begunBefore = 0;
  Clock::time_point lastTick = Clock::now();
  Clock::time_point nextDeadline = Clock::time_point::max();
};

} // namespace minifn

#endif

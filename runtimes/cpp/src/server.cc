#include "server.h"

#include "failures.h"
#include "output.h"
#include "text.h"
#include "threads.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <exception>
#include <fcntl.h>
#include <new>
#include <poll.h>
#include <pthread.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace minifn {

namespace {

constexpr std::chrono::milliseconds TICK(1);
/// Most bytes that are kept of what is printed before the first call.
constexpr std::size_t PRINTED_AHEAD_BYTES = 1'000'000;
constexpr std::string_view READY = R"({"type":"ready","protocol":1,"concurrency":0})";

thread_local std::shared_ptr<Call> ownCall;

/// Takes the variables of minifn out of the environment, and returns the socket's descriptor.
int takeEnvironment() {
  const char *socket = std::getenv("MINIFN_SOCKET");
  const int descriptor = socket != nullptr && std::strncmp(socket, "fd:", 3) == 0
                             ? std::atoi(socket + 3)
                             : -1;
  std::vector<std::string> names;
  for (char **variable = environ; *variable != nullptr; ++variable)
    if (std::strncmp(*variable, "MINIFN_", 7) == 0)
      names.emplace_back(*variable, std::strcspn(*variable, "="));
  for (const std::string &name : names)
    unsetenv(name.c_str());
  fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return descriptor;
}

/// Returns the headers of OPEN_RUNTIMES_HEADERS, none when it is not a JSON object.
Json::Value parseEnforcedHeaders() {
  Json::Value headers(Json::objectValue);
  const char *text = std::getenv("OPEN_RUNTIMES_HEADERS");
  const Json::Value parsed = parseJson(text == nullptr ? "" : text);
  if (parsed.isObject())
    for (const std::string &name : parsed.getMemberNames())
      if (parsed[name].isConvertibleTo(Json::stringValue))
        headers[lower(name)] = parsed[name].asString();
  return headers;
}

/// Makes the server before the function's own static objects, which may print and read the
/// environment.
struct Early {
  Early() { Server::instance(); }
};
[[gnu::init_priority(101)]] const Early early;

} // namespace

Server &Server::instance() {
  static Server *const server = [] {
    auto *made = new Server(takeEnvironment());
    made->writer.send(READY, {});
    captureOutput();
    explainCrashes();
    made->ordinaryTerminate = std::set_terminate([] { instance().refuse(); });
    std::atexit([] { instance().flush(); });
    pthread_atfork(nullptr, nullptr, [] { instance().forget(); });
    return made;
  }();
  return *server;
}

Server::Server(int descriptor)
    : writer(descriptor), descriptor(descriptor),
      processors(std::max(1U, std::thread::hardware_concurrency())) {}

void Server::serve() {
  std::set_terminate(ordinaryTerminate);
  enforcedHeaders = parseEnforcedHeaders();
  {
    const std::lock_guard lock(mutex);
    serving = true;
  }
  Reader reader(descriptor);
  pollfd socket = {descriptor, POLLIN, 0};
  for (;;) {
    if (poll(&socket, 1, pauseMilliseconds()) > 0) {
      reader.receive();
      while (reader.begun())
        accept(reader.next());
    }
    const Clock::time_point now = Clock::now();
    if (now >= nextDeadline)
      expire(now);
    tick(now);
    provideThreads();
  }
}

void Server::refuse() {
  if (!std::current_exception())
    ordinaryTerminate();
  const std::string reason = "Failed to load module: " + describeException();
  Reader reader(descriptor);
  for (;;) {
    while (!reader.begun())
      reader.receive();
    accept(reader.next());
    while (!queue.empty()) {
      Call &call = *queue.front().call;
      call.print(printedAhead);
      call.fail(reason, End::NOT_LOADED);
      writer.flush();
      calls.erase(call.id);
      queue.pop_front();
    }
  }
}

int Server::pauseMilliseconds() {
  const std::lock_guard lock(mutex);
  if (!queue.empty() || begunNow + begunBefore > 0 || writer.waits())
    return static_cast<int>(TICK.count());
  if (nextDeadline == Clock::time_point::max())
    return -1;
  const auto rest = std::chrono::ceil<std::chrono::milliseconds>(nextDeadline - Clock::now());
  return static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(rest.count(), 0, 60'000));
}

void Server::accept(Frame frame) {
  Json::Value header = parseJson(frame.header);
  if (!header.isObject()) {
    // Only without memory for it. No call can be answered.
    freeReserve();
    const std::string reason = outOfMemory() + "\n";
    _exit(write(STDERR_FILENO, reason.data(), reason.size()) < 0 ? 2 : 1);
  }
  const std::string type = header["type"].asString();
  if (type == "request") {
    acceptRequest(header, frame);
  } else if (type == "cancel") {
    cancel(header["id"].asInt());
  } else if (type == "stop") {
    std::unique_lock lock(mutex);
    stopping = true;
    if (calls.empty()) {
      lock.unlock();
      std::exit(0);
    }
  }
}

void Server::acceptRequest(Json::Value &header, Frame &frame) {
  const double seconds = header["timeout"].asDouble();
  Clock::time_point deadline = Clock::time_point::max();
  if (seconds > 0)
    deadline = Clock::now() +
               std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  const int id = header["id"].asInt();
  auto call = std::make_shared<Call>(writer, id, header["logging"].asBool(), deadline);
  if (frame.bodyLost)
    return call->fail(outOfMemory(), End::STUCK);
  nextDeadline = std::min(nextDeadline, deadline);
  const std::lock_guard lock(mutex);
  calls.emplace(id, call);
  queue.push_back({std::move(call), std::move(header), std::move(frame.body), {}});
}

void Server::cancel(int id) {
  const std::lock_guard lock(mutex);
  const auto found = calls.find(id);
  if (found == calls.end())
    return;
  found->second->mute();
  // A call that has begun is answered when it ends: it occupies a thread until then.
  if (!found->second->begun) {
    found->second->fail({});
    calls.erase(found);
  }
}

void Server::expire(Clock::time_point now) {
  const std::lock_guard lock(mutex);
  nextDeadline = Clock::time_point::max();
  for (auto at = calls.begin(); at != calls.end();) {
    if (at->second->deadline > now) {
      nextDeadline = std::min(nextDeadline, at->second->deadline);
      ++at;
    } else {
      at->second->fail("Execution timed out.", End::TIMED_OUT);
      at = calls.erase(at);
    }
  }
}

void Server::tick(Clock::time_point now) {
  if (now - lastTick < TICK)
    return;
  lastTick = now;
  writer.flush();
  const std::lock_guard lock(mutex);
  ++ticks;
  begunBefore = begunNow;
  begunNow = 0;
}

void Server::provideThreads() {
  const std::lock_guard lock(mutex);
  const std::size_t active = begunNow + begunBefore;
  if (active >= processors)
    return;
  std::size_t wanted = std::min<std::size_t>(queue.size(), processors - active);
  for (; wanted > 0 && idle >= wanted; --wanted)
    wake.notify_one();
  for (; wanted > 0 && startThread([] { instance().work(); }); --wanted)
    ++threads;
  if (threads == 0 && !queue.empty()) {
    Waiting next = std::move(queue.front());
    queue.pop_front();
    calls.erase(next.call->id);
    next.call->fail("The function's process cannot start a thread.", End::STUCK);
  }
}

void Server::work() {
  std::unique_lock lock(mutex);
  for (;;) {
    while (queue.empty()) {
      lock.unlock();
      writer.flush();
      lock.lock();
      if (!queue.empty())
        break;
      ++idle;
      wake.wait(lock);
      --idle;
    }
    Waiting next = std::move(queue.front());
    queue.pop_front();
    // It may have been canceled, or its time may be over.
    if (calls.count(next.call->id) == 0)
      continue;
    next.call->begun = true;
    next.printedAhead.swap(printedAhead);
    const unsigned began = ticks;
    ++begunNow;
    lock.unlock();
    run(next);
    lock.lock();
    if (ticks == began)
      --begunNow;
    else if (ticks == began + 1)
      --begunBefore;
    calls.erase(next.call->id);
    if (stopping && calls.empty()) {
      lock.unlock();
      std::exit(0);
    }
  }
}

void Server::run(Waiting &next) {
  Call &call = *next.call;
  ownCall = next.call;
  try {
    if (!next.printedAhead.empty())
      call.print(next.printedAhead);
    runtime::RuntimeContext context = {
        makeRequest(next.frame, std::move(next.body), enforcedHeaders), {}, next.call};
    const runtime::RuntimeOutput output = handle(context);
    const std::string headers = checkedHeaders(output);
    call.answer(output.statusCode, headers,
                {reinterpret_cast<const char *>(output.body.data()), output.body.size()});
  } catch (const WrongResult &wrong) {
    call.fail(wrong.what());
  } catch (const std::bad_alloc &) {
    freeReserve();
    call.fail(outOfMemory(), End::STUCK);
  } catch (const abi::__forced_unwind &) {
    call.fail("The function ended its own thread.", End::STUCK);
    writer.flush();
    throw;
  } catch (...) {
    call.fail(describeException());
  }
  ownCall.reset();
}

std::shared_ptr<Call> Server::callOfThread() {
  if (ownCall)
    return ownCall;
  const std::lock_guard lock(mutex);
  return calls.size() == 1 ? calls.begin()->second : nullptr;
}

bool Server::print(std::string_view text) {
  if (const std::shared_ptr<Call> call = callOfThread()) {
    call->print(text);
    return true;
  }
  const std::lock_guard lock(mutex);
  if (serving)
    return false;
  printedAhead += text.substr(0, PRINTED_AHEAD_BYTES - printedAhead.size());
  return true;
}

void Server::abandon(const std::string &message) {
  if (const std::shared_ptr<Call> call = callOfThread()) {
    call->fail(message, End::STUCK);
    writer.flush();
  }
  for (;;)
    pause();
}

} // namespace minifn

int main() { minifn::Server::instance().serve(); }

#include "call.h"

#include "text.h"

#include <cstddef>

namespace minifn {

namespace {

constexpr std::string_view NOTICE =
    "Native logs detected. Use context.log() or context.error() for better experience.\n";
/// Bytes that are kept of a printed line: those of the most that a log shows of it, and more.
constexpr std::size_t LINE_BYTES = 4 * 8000 + 4;

} // namespace

void Call::log(std::string_view stream, std::string_view message) {
  const std::lock_guard lock(mutex);
  if (logging && !answered)
    write(stream, logLine(message));
}

void Call::print(std::string_view text) {
  const std::lock_guard lock(mutex);
  if (logging && !answered)
    printLines(text);
}

void Call::printLines(std::string_view text) {
  std::string lines;
  for (std::size_t newline; (newline = text.find('\n')) != text.npos;) {
    line += text.substr(0, newline);
    lines += logLine(line);
    line.clear();
    text.remove_prefix(newline + 1);
  }
  if (line.size() < LINE_BYTES)
    line += text.substr(0, LINE_BYTES - line.size());
  if (lines.empty())
    return;
  if (!noticed)
    lines.insert(0, NOTICE);
  noticed = true;
  write("logs", lines);
}

void Call::write(std::string_view stream, std::string_view lines) {
  std::string header = R"({"type":"log","id":)" + std::to_string(id) + R"(,"stream":")";
  header += stream;
  header += "\"}";
  writer.send(header, lines);
}

void Call::mute() {
  const std::lock_guard lock(mutex);
  logging = false;
}

void Call::answer(int statusCode, std::string_view headers, std::string_view body) {
  const std::lock_guard lock(mutex);
  std::string members = R"("statusCode":)" + std::to_string(statusCode) + R"(,"headers":)";
  members += headers;
  respond(members, body);
}

void Call::fail(std::string_view message, End end) {
  const std::lock_guard lock(mutex);
  if (answered)
    return;
  if (logging) {
    if (!line.empty())
      printLines("\n");
    write("errors", logLine(message));
  }
  std::string members = R"("statusCode":)";
  members += end == End::NOT_LOADED ? "503" : "500";
  members += R"(,"headers":[])";
  if (end == End::TIMED_OUT)
    members += R"(,"failure":"timeout")";
  if (end != End::NORMAL)
    members += R"(,"stuck":true)";
  respond(members, {});
}

void Call::respond(std::string_view members, std::string_view body) {
  if (answered)
    return;
  if (logging && !line.empty())
    printLines("\n");
  std::string header = R"({"type":"response","id":)" + std::to_string(id) + ",";
  header += members;
  header += '}';
  writer.send(header, body, true);
  answered = true;
}

} // namespace minifn

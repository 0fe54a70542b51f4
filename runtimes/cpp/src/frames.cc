#include "frames.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>
#include <sys/uio.h>
#include <unistd.h>

namespace minifn {

namespace {

/// Bytes that are read at once.
constexpr std::size_t READ_BYTES = 64 * 1024;
/// Bytes of a body from which on it is written from its own place.
constexpr std::size_t LARGE_BYTES = 16 * 1024;
/// Bytes of waiting frames from which on they are written.
constexpr std::size_t WAITING_BYTES = 64 * 1024;

/// Returns the result of read or write. An end or an error ends the process.
std::size_t checked(ssize_t count) {
  if (count > 0)
    return static_cast<std::size_t>(count);
  if (count < 0 && errno == EINTR)
    return 0;
  _exit(0);
}

} // namespace

void Writer::send(std::string_view header, std::string_view body, bool later) {
  const std::lock_guard lock(mutex);
  const std::string_view copied = body.size() < LARGE_BYTES ? body : std::string_view();
  const std::uint32_t lengths[] = {htonl(static_cast<std::uint32_t>(header.size())),
                                   htonl(static_cast<std::uint32_t>(body.size()))};
  // All of the memory before the first byte: the stream cannot go on after half a frame.
  waiting.reserve(waiting.size() + sizeof lengths + header.size() + copied.size());
  waiting.append(reinterpret_cast<const char *>(lengths), sizeof lengths);
  waiting.append(header);
  waiting.append(copied);
  if (!later || copied.size() < body.size() || waiting.size() >= WAITING_BYTES)
    return write(body.substr(copied.size()));
  waits_ = true;
}

void Writer::flush() {
  const std::lock_guard lock(mutex);
  if (!waiting.empty())
    write({});
}

void Writer::write(std::string_view body) {
  if (descriptor < 0)
    _exit(0);
  iovec parts[] = {{waiting.data(), waiting.size()},
                   {const_cast<char *>(body.data()), body.size()}};
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    std::size_t written = checked(writev(descriptor, parts, 2));
    for (iovec &part : parts) {
      const std::size_t share = std::min(written, part.iov_len);
      part.iov_base = static_cast<char *>(part.iov_base) + share;
      part.iov_len -= share;
      written -= share;
    }
  }
  waiting.clear();
  waits_ = false;
}

void Writer::abandon() {
  close(descriptor);
  descriptor = -1;
}

Reader::Reader(int descriptor) : descriptor(descriptor), buffer(READ_BYTES) {}

void Reader::receive() {
  std::memmove(buffer.data(), buffer.data() + start, end - start);
  end -= start;
  start = 0;
  end += checked(read(descriptor, buffer.data() + end, buffer.size() - end));
}

Frame Reader::next() {
  const std::size_t headerLength = length(0);
  const std::size_t bodyLength = length(sizeof(std::uint32_t));
  start += LENGTHS;
  Frame frame;
  frame.header.resize(headerLength);
  fill(frame.header.data(), headerLength);
  try {
    frame.body.resize(bodyLength);
  } catch (const std::bad_alloc &) {
    frame.bodyLost = true;
    discard(bodyLength);
    return frame;
  }
  fill(frame.body.data(), bodyLength);
  return frame;
}

std::size_t Reader::length(std::size_t offset) const {
  std::uint32_t value;
  std::memcpy(&value, buffer.data() + start + offset, sizeof value);
  return ntohl(value);
}

void Reader::fill(char *to, std::size_t size) {
  const std::size_t here = std::min(size, end - start);
  std::memcpy(to, buffer.data() + start, here);
  start += here;
  for (std::size_t filled = here; filled < size;)
    filled += checked(read(descriptor, to + filled, size - filled));
}

void Reader::discard(std::size_t size) {
  const std::size_t here = std::min(size, end - start);
  start += here;
  char rest[4096];
  for (std::size_t left = size - here; left > 0;)
    left -= checked(read(descriptor, rest, std::min(left, sizeof rest)));
}

} // namespace minifn

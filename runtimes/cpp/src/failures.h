#ifndef MINIFN_FAILURES_H
#define MINIFN_FAILURES_H

#include <string>

namespace minifn {

/// Describes the exception that is being handled, and those that it is nested in.
std::string describeException();
/// Describes a lack of memory.
std::string outOfMemory();
/// Frees the memory that is kept for answering when there is no other.
void freeReserve();

} // namespace minifn

#endif

#ifndef MINIFN_TRACE_H
#define MINIFN_TRACE_H

#include <string>

namespace minifn {

/// Returns the places in the function's source that threw the exception that is being handled,
/// innermost first, each on a line of its own. It is "" for an exception of another thread, and on
/// a machine without addr2line, which comes with the compiler.
std::string traceOfException();

} // namespace minifn

#endif

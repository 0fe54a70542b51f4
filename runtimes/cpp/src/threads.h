#ifndef MINIFN_THREADS_H
#define MINIFN_THREADS_H

namespace minifn {

/// Starts a thread that never ends, with a stack of 8 MB; tells whether it could.
///
/// The kernel does not count such a stack as data until it is used: a function with little memory
/// has room for many.
bool startThread(void (*work)());

/// Makes a crash say on stderr what it is, endless recursion above all. The signal still ends the
/// process.
void explainCrashes();

} // namespace minifn

#endif

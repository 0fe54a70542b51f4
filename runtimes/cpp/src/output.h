#ifndef MINIFN_OUTPUT_H
#define MINIFN_OUTPUT_H

namespace minifn {

/// Sends all that is printed by std::cout, std::cerr, std::clog and C's stdout and stderr to the
/// call of the printing thread, else to the descriptor that it was printed to.
void captureOutput();

} // namespace minifn

#endif

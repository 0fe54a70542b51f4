#include "threads.h"

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

namespace minifn {

namespace {

constexpr std::size_t STACK_BYTES = 8 * 1024 * 1024;
/// Bytes below a stack that no thread can use, so that its end is noticed.
constexpr std::size_t GUARD_BYTES = 1024 * 1024;
/// Bytes for the handler of a signal that comes because the stack is full.
constexpr std::size_t SIGNAL_STACK_BYTES = 32 * 1024;

#ifndef MAP_GROWSDOWN
constexpr int MAP_GROWSDOWN = 0;
#endif

/// The lowest address of this thread's guard, 0 for a thread of the function's own.
thread_local std::uintptr_t guard = 0;

struct Start {
  void (*work)();
  char *signals;
};

void *runThread(void *argument) {
  const Start start = *static_cast<Start *>(argument);
  delete static_cast<Start *>(argument);
  guard = reinterpret_cast<std::uintptr_t>(start.signals) + SIGNAL_STACK_BYTES;
  stack_t stack = {};
  stack.ss_sp = start.signals;
  stack.ss_size = SIGNAL_STACK_BYTES;
  sigaltstack(&stack, nullptr);
  start.work();
  return nullptr;
}

void explain(int signal, siginfo_t *information, void *) {
  const auto address = reinterpret_cast<std::uintptr_t>(information->si_addr);
  const char *text = "The function made an invalid memory access.\n";
  if (signal == SIGFPE)
    text = "The function made an invalid calculation, such as a division by zero.\n";
  else if (signal == SIGILL)
    text = "The function ran into an invalid instruction.\n";
  else if (guard != 0 && address >= guard && address < guard + GUARD_BYTES)
    text = "The function's stack of 8 MB is full: endless recursion?\n";
  // The signal comes again, without a handler, when this returns.
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0)
    return;
}

} // namespace

bool startThread(void (*work)()) {
  // From below: the signals' stack, the guard, the stack.
  const std::size_t whole = SIGNAL_STACK_BYTES + GUARD_BYTES + STACK_BYTES;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void *place = mmap(nullptr, whole, PROT_NONE, flags, -1, 0);
  if (place == MAP_FAILED)
    return false;
  char *const signals = static_cast<char *>(place);
  char *const stack = signals + SIGNAL_STACK_BYTES + GUARD_BYTES;
  const int usable = PROT_READ | PROT_WRITE;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  bool started = mprotect(signals, SIGNAL_STACK_BYTES, usable) == 0 &&
                 mmap(stack, STACK_BYTES, usable, flags | MAP_FIXED | MAP_GROWSDOWN, -1, 0) == stack &&
                 pthread_attr_setstack(&attributes, stack, STACK_BYTES) == 0;
  if (started) {
    auto *start = new Start{work, signals};
    pthread_t thread;
    started = pthread_create(&thread, &attributes, runThread, start) == 0;
    if (started)
      pthread_detach(thread);
    else
      delete start;
  }
  pthread_attr_destroy(&attributes);
  if (!started)
    munmap(place, whole);
  return started;
}

void explainCrashes() {
  struct sigaction action = {};
  action.sa_sigaction = explain;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    sigaction(signal, &action, nullptr);
}

} // namespace minifn

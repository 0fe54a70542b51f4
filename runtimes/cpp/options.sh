# Set the arguments to the compiler's options for the wrapper and for functions in `$version` of the
# language. They are the same for all, because a precompiled header is used with its own options
# alone.
set -- -std="c++$version" -O2 -g1 -fsanitize=return -pthread -I"$shared/include" -I/usr/include/jsoncpp

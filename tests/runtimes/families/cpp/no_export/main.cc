#include "../RuntimeContext.h"

runtime::RuntimeOutput other(runtime::RuntimeContext &context) { return context.res.empty(); }

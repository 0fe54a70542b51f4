#include "deep/in/the/tree/handler.h"

#pragma once

const char *const BESIDE = "beside";

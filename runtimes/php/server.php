<?php

// One warm worker: reads requests from the inherited socket, runs the function and answers.
// minifn/workers/protocol.py describes the frames and the environment; the handler contract is
// that of Open Runtimes (runtimes/php/versions/latest/src). Requests run one at a time.

declare(strict_types=1);

namespace Minifn;

require __DIR__ . '/connection.php';
require __DIR__ . '/text.php';
require __DIR__ . '/call.php';
require __DIR__ . '/types.php';
require __DIR__ . '/result.php';
require __DIR__ . '/loader.php';
require __DIR__ . '/watcher.php';
require __DIR__ . '/pace.php';
require __DIR__ . '/worker.php';

/** MB of a process besides PHP's heap: the least, and the divisor of its limit. */
const RESERVE_MB = 32;
const RESERVE_SHARE = 8;

/** Arguments of fcntl(), and a number above that of each descriptor that the wrapper opens. */
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const DESCRIPTORS = 16;

/** Returns MINIFN_SOCKET and MINIFN_CODE, and removes MINIFN_* from the environment. */
function takeEnvironment(): array
{
    $descriptor = substr((string) getenv('MINIFN_SOCKET'), strlen('fd:'));
    $taken = [(int) $descriptor, (string) getenv('MINIFN_CODE')];
    foreach (array_keys(getenv()) as $name) {
        if (str_starts_with($name, 'MINIFN_')) {
            putenv($name);
            unset($_ENV[$name], $_SERVER[$name]);
        }
    }
    return $taken;
}

/** Returns the headers in OPEN_RUNTIMES_HEADERS, none when it is not a JSON object. */
function enforcedHeaders(): array
{
    $headers = [];
    $given = json_decode((string) getenv('OPEN_RUNTIMES_HEADERS'), true);
    foreach (is_array($given) ? $given : [] as $name => $value) {
        $headers[strtolower((string) $name)] = asText($value);
    }
    return $headers;
}

/** Keeps the descriptors of the wrapper from programs that the function starts, where PHP can. */
function hideDescriptors(): void
{
    if (!class_exists('FFI')) {
        return;
    }
    try {
        $system = \FFI::cdef('int fcntl(int, int, ...);');
    } catch (\FFI\Exception) {
        return;
    }
    for ($descriptor = 3; $descriptor < DESCRIPTORS; $descriptor++) {
        $system->fcntl($descriptor, F_SETFD, FD_CLOEXEC);
    }
}

/** Keeps part of the memory for what PHP does not count, so that too much is PHP's own error. */
function reserveMemory(): void
{
    $limitMb = (int) ini_get('memory_limit');
    if ($limitMb > 0) {
        ini_set('memory_limit', $limitMb - max(RESERVE_MB, intdiv($limitMb, RESERVE_SHARE)) . 'M');
    }
}

function main(): void
{
    reserveMemory();
    [$descriptor, $code] = takeEnvironment();
    $connection = new Connection($descriptor);
    $connection->send('{"type":"ready","protocol":1,"concurrency":1}');
    // The watcher is forked here, because it must not share the memory of the function.
    $pace = new Pace($connection, Watcher::start($connection));
    hideDescriptors();
    $loader = new Loader($code, (string) getenv('OPEN_RUNTIMES_ENTRYPOINT'));
    ini_set('display_errors', '0');
    (new Worker($connection, $loader, $pace, enforcedHeaders()))->run();
}

main();

<?php

// Parses a function without running it:
//
//     php check.php CODE ENTRYPOINT
//
// It reads the entrypoint and the function's own files that this includes at once by
// `__DIR__ . '/name'`. The first that does not parse ends it with exit code 1 and PHP's message.
// Packages are not read.

declare(strict_types=1);

namespace Minifn;

/** A statement at the beginning of a line: not one that a condition or a function may skip. */
const INCLUDE_STATEMENT = '~^(?:return\s+|\$\w+\s*\+?=\s*)?(?:require|include)(?:_once)?\s*\(?\s*'
    . '__DIR__\s*\.\s*([\'"])(/[^\'"$\n]+)\1~m';

/** Returns PHP's message about a file, "" when it parses. */
function problem(string $file): string
{
    $command = [PHP_BINARY, '-d', 'display_errors=stderr', '-d', 'log_errors=0', '-l', $file];
    $process = proc_open($command, [1 => ['file', '/dev/null', 'w'], 2 => ['pipe', 'w']], $pipes);
    $message = stream_get_contents($pipes[2]);
    return proc_close($process) === 0 ? '' : trim($message);
}

function main(string $code, string $entrypoint): int
{
    $waiting = [realpath("$code/$entrypoint")];
    for ($next = 0; $next < count($waiting); $next++) {
        $file = $waiting[$next];
        $message = problem($file);
        if ($message !== '') {
            fwrite(STDERR, str_replace(realpath($code) . '/', '', "$message\n"));
            return 1;
        }
        preg_match_all(INCLUDE_STATEMENT, file_get_contents($file), $found);
        foreach ($found[2] as $path) {
            $included = realpath(dirname($file) . $path);
            if ($included === false || !is_file($included) || str_contains($included, '/vendor/')) {
                continue;
            }
            if (!in_array($included, $waiting, true)) {
                $waiting[] = $included;
            }
        }
    }
    return 0;
}

exit(main($argv[1], $argv[2]));

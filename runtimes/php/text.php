<?php

// Values and errors as text in the logs, by the rules of Open Runtimes' logger.

declare(strict_types=1);

namespace Minifn;

const LINE_LIMIT = 8000;
const TRUNCATED = '... Log truncated due to size limit (' . LINE_LIMIT . ' characters)';
const CAUSES_LIMIT = 4;
const LEVELS = [
    E_WARNING => 'Warning',
    E_NOTICE => 'Notice',
    E_DEPRECATED => 'Deprecated',
    E_USER_ERROR => 'Error',
    E_USER_WARNING => 'Warning',
    E_USER_NOTICE => 'Notice',
    E_USER_DEPRECATED => 'Deprecated',
];

/** Returns the arguments of one log call as one line, without its newline. */
function format(array $values): string
{
    $texts = [];
    foreach ($values as $value) {
        $texts[] = is_string($value) ? $value : asText($value);
    }
    return cut(implode(' ', $texts));
}

/** Cuts a line at the limit, in bytes as Open Runtimes does, but not within a character. */
function cut(string $line): string
{
    if (strlen($line) <= LINE_LIMIT) {
        return $line;
    }
    $end = LINE_LIMIT;
    while ($end > LINE_LIMIT - 4 && (ord($line[$end]) & 0xC0) === 0x80) {
        $end--;
    }
    return substr($line, 0, $end) . TRUNCATED;
}

function asText(mixed $value): string
{
    if ($value instanceof \Throwable) {
        return describe($value);
    }
    if (is_array($value) || is_object($value)) {
        $flags = JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE;
        return (string) json_encode($value, $flags);
    }
    return is_resource($value) ? get_debug_type($value) : strval($value);
}

/** Returns an exception with its trace and causes, without the frames of the wrapper. */
function describe(\Throwable $error): string
{
    $text = '';
    for ($shown = 0; $error !== null && $shown <= CAUSES_LIMIT; $shown++) {
        $text .= ($shown ? "\nCaused by: " : '') . describeOne($error);
        $error = $error->getPrevious();
    }
    return $text;
}

function describeOne(\Throwable $error): string
{
    $own = preg_quote(__DIR__, '~');
    // The wrapper's frames are the last ones.
    $ours = "~(^|\n)#\d+ ($own/|\[internal function\]: Minifn|\{main\})[^\0]*~";
    $trace = preg_replace($ours, '', $error->getTraceAsString());
    $place = "{$error->getFile()}:{$error->getLine()}";
    $text = get_class($error) . ": {$error->getMessage()} in $place";
    return $text . ($trace === '' ? '' : "\n$trace");
}

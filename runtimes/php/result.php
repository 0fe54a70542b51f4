<?php

// The meaning of a handler's return value.

declare(strict_types=1);

namespace Minifn;

const BODY_LIMIT = 20 * 1024 * 1024;
/** Most bytes of headers; escaped in a frame's header they may take six times as many. */
const HEADERS_LIMIT = 128 * 1024;
const HEADERS_MAX = 1000;
/** Bytes that JSON adds to a name and a value. */
const PAIR_BYTES = 8;
const NO_RETURN =
    'Return statement missing. return context.res.empty() if no response is expected.';

/** The handler returned something other than a response; the message is for its author. */
final class WrongResult extends \Exception
{
}

/** Returns [status, headers as JSON, body]. Throws WrongResult. */
function readResult(mixed $result): array
{
    if (!is_array($result)) {
        $type = get_debug_type($result);
        $wrong = "The function returned $type. Return what a function of \$context->res gives.";
        throw new WrongResult($result ? $wrong : NO_RETURN);
    }
    if ($result === []) {
        throw new WrongResult(NO_RETURN);
    }
    $status = $result['statusCode'] ?? 200;
    $range = ['options' => ['min_range' => 100, 'max_range' => 999]];
    $number = filter_var($status, FILTER_VALIDATE_INT, $range);
    if ($number === false) {
        $shown = asText($status);
        throw new WrongResult("The status code $shown is not between 100 and 999.");
    }
    $body = $result['body'] ?? '';
    if (!is_string($body)) {
        if (!is_scalar($body) && !$body instanceof \Stringable) {
            throw new WrongResult('The body is ' . get_debug_type($body) . ', not a string.');
        }
        $body = strval($body);
    }
    if (strlen($body) > BODY_LIMIT) {
        $size = strlen($body);
        throw new WrongResult("The body has $size bytes, the limit is " . BODY_LIMIT . '.');
    }
    $headers = $result['headers'] ?? [];
    return [$number, $headers ? encodeHeaders($headers) : '[]', $body];
}

/** Returns headers as a JSON list of pairs. Throws WrongResult. */
function encodeHeaders(mixed $headers): string
{
    if (!is_iterable($headers)) {
        throw new WrongResult('The headers are ' . get_debug_type($headers) . ', not an array.');
    }
    $pairs = [];
    $size = 0;
    foreach ($headers as $name => $values) {
        foreach (is_array($values) ? $values : [$values] as $value) {
            if ($value === null) {
                continue;
            }
            if (!is_scalar($value) && !$value instanceof \Stringable) {
                $type = get_debug_type($value);
                throw new WrongResult("The header $name is $type, not a string.");
            }
            $pair = [(string) $name, strval($value)];
            $size += strlen($pair[0]) + strlen($pair[1]) + PAIR_BYTES;
            $pairs[] = $pair;
        }
    }
    $count = count($pairs);
    if ($count > HEADERS_MAX) {
        throw new WrongResult("There are $count headers, the limit is " . HEADERS_MAX . '.');
    }
    if ($size > HEADERS_LIMIT) {
        throw new WrongResult("The headers have $size bytes, the limit is " . HEADERS_LIMIT . '.');
    }
    $json = json_encode($pairs, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    if ($json === false) {
        throw new WrongResult('The headers are not UTF-8.');
    }
    return $json;
}

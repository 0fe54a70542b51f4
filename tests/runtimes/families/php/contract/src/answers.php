<?php

const MIB = 1024 * 1024;

/** Returns a route that answers `x` with headers. */
function headed(array $headers, int $status = 200): Closure
{
    return fn ($context) => $context->res->text('x', $status, $headers);
}

return [
    '/text' => fn ($context) => $context->res->text('héllo'),
    '/text-201' => fn ($context) => $context->res->text('made', 201, ['X-Kept' => 'yes']),
    '/json' => fn ($context) => $context->res->json(
        ['text' => 'é', 'list' => ['a', null, true], 'empty' => []],
        201,
        ['Content-Type' => 'text/html'],
    ),
    '/binary' => fn ($context) => $context->res->binary(pack('C*', ...range(0, 255))),
    '/empty' => fn ($context) => $context->res->empty(),
    '/send' => fn ($context) => $context->res->send('sent', 203),
    '/redirect' => fn ($context) => $context->res->redirect('https://example.com/a?b=c'),
    '/redirect-302' => fn ($context) =>
        $context->res->redirect('/there', 302, ['x-why' => 'moved']),
    '/html' => fn ($context) => $context->res->text('<p>', 200, ['Content-Type' => 'Text/HTML']),
    '/charset' => headed(['content-type' => 'text/html; charset=ISO-8859-1']),
    '/multipart' => headed(['content-type' => 'multipart/form-data; boundary=AbC']),
    '/hidden' => headed(['X-Open-Runtimes-Secret' => '1', 'x-seen' => '2']),
    '/cookies' => fn ($context) => $context->res->text('x', 200, ['set-cookie' => ['a=1', 'b=2']]),
    '/number' => fn ($context) => $context->res->text('x', 200, ['x-number' => 5]),
    '/injection' => headed(['x-bad' => "a\r\nx-evil: 1", 'x-good' => '1']),
    '/handmade' => fn () => ['body' => 'made', 'statusCode' => 202],
    '/other-keys' => fn () => ['other' => 1],
    '/status-text' => fn () => ['body' => 'x', 'statusCode' => '201'],
    '/not-modified' => fn ($context) => $context->res->text('dropped', 304),
    '/twice' => function ($context) {
        $context->res->text('first');
        return $context->res->text('second');
    },
    '/nothing' => function () {
    },
    '/returns-text' => fn () => 'text',
    '/returns-number' => fn () => 5,
    '/status-99' => fn ($context) => $context->res->text('x', 99),
    '/large' => fn ($context) => $context->res->binary(str_repeat("\0", 20 * MIB)),
    '/too-large' => fn ($context) => $context->res->binary(str_repeat("\0", 20 * MIB + 1)),
    '/many-headers' => function ($context) {
        [$count, $length] = array_map('intval', explode(',', $context->req->queryString));
        $headers = [];
        for ($index = 0; $index < $count; $index++) {
            $headers["x-$index"] = str_repeat('"', $length);
        }
        return $context->res->text('x', 200, $headers);
    },
];

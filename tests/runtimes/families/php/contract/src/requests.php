<?php

return [
    '/mirror' => fn ($context) => $context->res->json([
        'method' => $context->req->method,
        'scheme' => $context->req->scheme,
        'host' => $context->req->host,
        'port' => $context->req->port,
        'path' => $context->req->path,
        'queryString' => $context->req->queryString,
        'query' => $context->req->query,
        'url' => $context->req->url,
        'headers' => $context->req->headers,
        'bodyText' => $context->req->bodyText,
        'body' => $context->req->body,
    ]),
    '/body-json' => fn ($context) => $context->res->json(['parsed' => $context->req->bodyJson]),
    '/body-binary' => fn ($context) => $context->res->binary($context->req->bodyBinary),
    '/body-text' => fn ($context) => $context->res->text($context->req->bodyText),
    '/beside' => fn ($context) => $context->res->text(require __DIR__ . '/beside.php'),
    '/file' => fn ($context) => $context->res->text(file_get_contents('greeting.txt')),
    '/environment' => fn ($context) => $context->res->json(getenv()),
    '/shell' => fn ($context) => $context->res->text(
        (string) shell_exec("exec < /dev/null\n{$context->req->bodyText}"),
    ),
    '/unicode' => function ($context) {
        $text = $context->req->bodyText . ' ñ';
        $context->log($text);
        $context->error($text);
        return $context->res->text($text);
    },
];

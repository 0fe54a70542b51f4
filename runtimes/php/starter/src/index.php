<?php

// A function to begin from: `/ping` answers `Pong`, any other path answers with what was asked.
return function ($context) {
    if ($context->req->path === '/ping') {
        return $context->res->text('Pong');
    }
    $context->log('asked for', $context->req->path);
    return $context->res->json([
        'message' => 'It works. Now change it.',
        'method' => $context->req->method,
        'path' => $context->req->path,
    ]);
};

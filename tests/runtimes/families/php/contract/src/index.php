<?php

$routes = require __DIR__ . '/answers.php';
$routes += require __DIR__ . '/failures.php';
$routes += require __DIR__ . '/logs.php';
$routes += require __DIR__ . '/requests.php';

// Whatever is not a route mirrors the request.
return function ($context) use ($routes) {
    if ($context->req->path === '/raise') {
        $context->log('called');
        throw new RuntimeException('went wrong');
    }
    return ($routes[$context->req->path] ?? $routes['/mirror'])($context);
};
